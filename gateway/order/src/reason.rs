//! Why an order is parked, and whose turn it is.

use serde::{Deserialize, Serialize};

/// Who acts next on a parked order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Owner {
    /// The service provider that placed the order.
    ServiceProvider,
    /// The municipal counter.
    Counter,
    /// The carrier (or MVNO) whose TSM reaches the SE.
    Carrier,
    /// Whoever runs this gateway.
    Operator,
    /// Two security officers together.
    Officers,
}

/// Why an order is parked. Nothing is lost while it is: a resumed order goes on where it stood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ParkReason {
    /// The SE that answered is not the one on record (S01). The authorization is kept.
    SecureElementNotOnRecord,
    /// The SE differs from its profile: `i`, S8/S16 or level (S03). The authorization is kept.
    ProfileMismatch,
    /// The SE cannot be reached for now, or its carrier does not answer.
    Unreachable,
    /// The carrier or the SE answered against its specification.
    Misbehaved,
    /// LOAD or INSTALL ended in doubt and could not be judged or repeated.
    ContentInDoubt,
    /// What became of a key write cannot be proven yet.
    Unresolved,
    /// Every attempt the authorization allows was made; the last was not applied.
    AttemptsSpent,
    /// What the SE holds contradicts every record. Nothing more is sent to it.
    Quarantined,
    /// A key set thought dead appeared on the SE.
    LateKeySet,
    /// The authorization's time to execute ran out between two key writes.
    PastExecuteBy,
    /// Policy forbids the next key write (T13), for example `app_key.max_known_to`.
    Policy,
    /// The service provider's key material is missing, expired or cannot be opened.
    Payload,
    /// The gateway was set to halt key writes.
    Halted,
}

impl ParkReason {
    /// Every reason, for `explain` and the catalogue of texts.
    pub const ALL: [Self; 13] = [
        Self::SecureElementNotOnRecord,
        Self::ProfileMismatch,
        Self::Unreachable,
        Self::Misbehaved,
        Self::ContentInDoubt,
        Self::Unresolved,
        Self::AttemptsSpent,
        Self::Quarantined,
        Self::LateKeySet,
        Self::PastExecuteBy,
        Self::Policy,
        Self::Payload,
        Self::Halted,
    ];

    /// The word used in JSON, logs and `explain`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SecureElementNotOnRecord => "secure_element_not_on_record",
            Self::ProfileMismatch => "profile_mismatch",
            Self::Unreachable => "unreachable",
            Self::Misbehaved => "misbehaved",
            Self::ContentInDoubt => "content_in_doubt",
            Self::Unresolved => "unresolved",
            Self::AttemptsSpent => "attempts_spent",
            Self::Quarantined => "quarantined",
            Self::LateKeySet => "late_key_set",
            Self::PastExecuteBy => "past_execute_by",
            Self::Policy => "policy",
            Self::Payload => "payload",
            Self::Halted => "halted",
        }
    }

    /// The public code that goes with the reason, where there is one.
    pub fn code(self) -> Option<&'static str> {
        match self {
            Self::SecureElementNotOnRecord => Some("S01"),
            Self::ProfileMismatch => Some("S03"),
            Self::Policy => Some("T13"),
            Self::Unreachable
            | Self::Misbehaved
            | Self::ContentInDoubt
            | Self::Unresolved
            | Self::AttemptsSpent
            | Self::Quarantined
            | Self::LateKeySet
            | Self::PastExecuteBy
            | Self::Payload
            | Self::Halted => None,
        }
    }

    /// Whose turn it is unless the engine knows better.
    pub fn owner(self) -> Owner {
        match self {
            Self::SecureElementNotOnRecord | Self::AttemptsSpent | Self::PastExecuteBy => {
                Owner::Counter
            }
            Self::ProfileMismatch | Self::Unreachable | Self::Misbehaved => Owner::Carrier,
            Self::ContentInDoubt | Self::Unresolved | Self::Halted => Owner::Operator,
            Self::Quarantined | Self::LateKeySet | Self::Policy => Owner::Officers,
            Self::Payload => Owner::ServiceProvider,
        }
    }

    /// One English sentence saying what happened and what helps.
    pub fn en(self) -> &'static str {
        match self {
            Self::SecureElementNotOnRecord => {
                "The SE that answered is not the one on record; check that the SIM was not exchanged, then resume."
            }
            Self::ProfileMismatch => {
                "The SE does not behave as its profile says; the carrier has to correct the SE or the profile."
            }
            Self::Unreachable => {
                "The SE cannot be reached for now; the order goes on when the carrier reaches it again."
            }
            Self::Misbehaved => {
                "The carrier or the SE gave an answer its specification forbids; the carrier has to look into it."
            }
            Self::ContentInDoubt => {
                "Whether the applet was loaded or installed could not be established; read the SE back, then resume."
            }
            Self::Unresolved => {
                "What became of a key write is not proven yet; nothing is sent again until a probe has answered."
            }
            Self::AttemptsSpent => {
                "Every attempt this authorization allows was made and none was applied; a new authorization is needed."
            }
            Self::Quarantined => {
                "What the SE holds contradicts the records; two security officers have to decide."
            }
            Self::LateKeySet => {
                "A key set thought dead appeared on the SE; two security officers have to decide."
            }
            Self::PastExecuteBy => {
                "The time allowed for this authorization ran out between two key writes; a new authorization is needed."
            }
            Self::Policy => {
                "Policy does not allow the next key write to this SE; two security officers have to decide."
            }
            Self::Payload => {
                "The key material for this order is missing or expired; the service provider has to deliver it again."
            }
            Self::Halted => {
                "Key writes are halted here; the order goes on when the halt is lifted."
            }
        }
    }

    /// One Japanese sentence saying the same.
    pub fn ja(self) -> &'static str {
        match self {
            Self::SecureElementNotOnRecord => {
                "応答したSEが登録されたSEと一致しません。SIMが差し替えられていないか確認のうえ、再開してください。"
            }
            Self::ProfileMismatch => {
                "SEの動作が登録されたプロファイルと異なります。通信事業者によるSEまたはプロファイルの修正が必要です。"
            }
            Self::Unreachable => {
                "現在SEに到達できません。通信事業者が再び到達できるようになれば処理を続けます。"
            }
            Self::Misbehaved => {
                "通信事業者またはSEから仕様に反する応答がありました。通信事業者による調査が必要です。"
            }
            Self::ContentInDoubt => {
                "アプレットの搭載結果を確認できませんでした。SEの状態を読み出したうえで再開してください。"
            }
            Self::Unresolved => {
                "鍵の書込み結果がまだ確認できていません。確認が取れるまで再送は行いません。"
            }
            Self::AttemptsSpent => {
                "この認可で許された回数の書込みを行いましたが、反映されませんでした。新しい認可が必要です。"
            }
            Self::Quarantined => {
                "SEの内容が記録と矛盾しています。セキュリティ責任者2名による判断が必要です。"
            }
            Self::LateKeySet => {
                "無効と判断した鍵セットがSE上に現れました。セキュリティ責任者2名による判断が必要です。"
            }
            Self::PastExecuteBy => {
                "書込みの途中で認可の実行期限を過ぎました。新しい認可が必要です。"
            }
            Self::Policy => {
                "このSEへの次の鍵の書込みはポリシーで許可されていません。セキュリティ責任者2名による判断が必要です。"
            }
            Self::Payload => {
                "この申込みの鍵データがないか、期限が切れています。サービス提供者による再送が必要です。"
            }
            Self::Halted => "鍵の書込みを停止しています。停止が解除されれば処理を続けます。",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_reason_has_its_own_word_and_both_sentences() {
        let mut words = HashSet::new();
        for reason in ParkReason::ALL {
            assert!(words.insert(reason.as_str()));
            assert_eq!(
                serde_json::to_value(reason).unwrap(),
                serde_json::Value::from(reason.as_str())
            );
            assert!(reason.en().ends_with('.') && reason.en().is_ascii());
            assert!(reason.ja().ends_with('。'));
        }
    }
}
