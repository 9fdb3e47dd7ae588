//! Codes that are not a token's: of the SE, of the store, of a request, of the command line.

use super::{Entry, Fault, Reached};

/// Declares the words once: variant, code, HTTP status, exit code, fault, reach, retry, Japanese, English, next step.
macro_rules! words {
    ($($variant:ident $id:literal $status:literal $exit:literal $fault:ident $reached:ident $retry:literal
       $ja:literal $en:literal $next:literal)*) => {
        /// A code that is not a token's; `entry` says what it means.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Word {
            $(#[doc = $en] $variant,)*
        }

        impl Word {
            /// Every word.
            pub const ALL: &[Word] = &[$(Word::$variant),*];

            /// What the catalogue says of it.
            pub fn entry(self) -> &'static Entry {
                match self {
                    $(Word::$variant => &Entry {
                        id: $id,
                        http_status: $status,
                        exit: $exit,
                        ja: $ja,
                        en: $en,
                        fault: Fault::$fault,
                        reached_se: Reached::$reached,
                        next: $next,
                        retry: $retry,
                    },)*
                }
            }
        }
    };
}

words! {
    S01 "S01" 409 3 Counter NoKeyWrite false
        "応答したSEは登録されたSEではありません。認可は保持されます。"
        "The SE that answered is not the one on record; the authorization is kept."
        "Put the SIM on record back, or cancel and order for the new one."
    S02 "S02" 409 1 Carrier No false
        "最初の鍵セットが複数のSEで共有されているため受け付けません。"
        "The first key set is shared by several SEs and is refused."
        "Have the carrier make a key set for this SE alone and hand it over again."
    S03 "S03" 409 3 Carrier NoKeyWrite false
        "SEの動作が登録されたプロファイルと異なります。認可は保持されます。"
        "The SE differs from its profile; the authorization is kept."
        "Give the carrier the enquiry id; it has to correct the SE or the profile."
    R01 "R01" 503 78 Officers No false
        "データベースが監査記録の控えより古いため起動しません。"
        "The store is older than the record kept outside it, so the node does not start."
        "Two security officers adopt the restored store."

    BadRequest "bad_request" 400 2 Caller No false
        "要求の形式が正しくありません。"
        "The request is not of the documented form."
        "Mend the field the detail names."
    TooLarge "too_large" 413 2 Caller No false
        "要求が大きすぎます。"
        "The request is larger than the limit."
        "Send less, or ask the operator for the limit."
    TooSlow "too_slow" 503 75 Operator No true
        "要求の処理が期限内に終わりませんでした。"
        "The request was not answered within its deadline."
        "Send the same request again; submitting twice is safe."
    NotAllowed "not_allowed" 403 77 Caller No false
        "このクライアント証明書にはこの操作が許可されていません。"
        "This client certificate is not allowed to do that."
        "Use the certificate of the right role, or have it registered."
    NotFound "not_found" 404 1 Caller No false
        "該当するものがありません。"
        "There is nothing of that name for this caller."
        "Check the identifier and the tenant."
    MethodNotAllowed "method_not_allowed" 405 2 Caller No false
        "この宛先ではこのメソッドを使用できません。"
        "This address does not take that method."
        "Look the route up in the interface description."
    OrderDiffers "order_differs" 409 1 Caller No false
        "同じ識別子で内容の異なる申込みが既にあります。"
        "There is an order under this id with another body."
        "Submit the same body, or use a new id."
    NoRoute "no_route" 409 1 Carrier No false
        "このSEを担当する通信事業者の経路がありません。"
        "No route of this tenant leads to a carrier for this SE."
        "Run `madoguchi route explain` to see why each rule was passed over."
    NotEligible "not_eligible" 409 1 Carrier NoKeyWrite false
        "このSEではこのサービスを利用できません。"
        "The carrier says this SE cannot take the service."
        "Tell the applicant; another device or SIM may do."
    IllegalState "illegal_state" 409 1 Caller No false
        "申込みは現在その操作を受け付けられない状態です。"
        "The order does not take that step in the state it is in."
        "Read the order and go on from its state."
    PersonalizationRefused "personalization_refused" 400 1 ServiceProvider No false
        "個人化データの署名または内容が申込みと一致しません。"
        "The personalization is not validly signed, sealed or does not fit the order."
        "Have the service provider sign and seal it for exactly this order."
    KeySetRefused "key_set_refused" 409 1 Carrier No false
        "引き渡された鍵セットを受け付けられません。"
        "The key set handed over cannot be taken."
        "Mend what the detail names and hand the key set over again."
    StoreUnavailable "store_unavailable" 503 75 Operator No true
        "データベースを利用できません。"
        "The store cannot be used for now."
        "Send the same request again later; the operator looks at disk and logs."
    OutcomeUnknown "outcome_unknown" 503 75 Operator No true
        "記録が確定したか確認できませんでした。"
        "Whether the request was recorded is not known."
        "Send the same request again; submitting twice is safe."
    StoreRefused "store_refused" 503 78 Operator No false
        "このデータベースは使用できません。"
        "The data directory holds no store this version can use."
        "Do what the message says: another directory, or a newer version."
    CustodyUnavailable "custody_unavailable" 503 75 Operator No true
        "鍵の保管庫を利用できません。"
        "Custody cannot be used for now."
        "Send the same request again later; the operator looks at custody."
    CustodyRefused "custody_refused" 503 78 Operator No false
        "鍵の保管庫を開けません。"
        "Custody cannot be opened with this key-encryption key."
        "Give the node the key-encryption key this custody was sealed with."
    CarrierUnavailable "carrier_unavailable" 503 75 Carrier NoKeyWrite true
        "通信事業者のTSMに接続できません。"
        "The carrier's TSM cannot be reached for now."
        "Wait; the order goes on when the carrier answers."
    Draining "draining" 503 75 Operator No true
        "このノードは停止処理中です。"
        "This node is shutting down."
        "Send the request again to another node, or in a moment."
    Internal "internal" 500 70 Ours Maybe false
        "内部エラーが発生しました。"
        "Something happened that should not be possible."
        "Report it with the enquiry id; the order's record is intact."

    Usage "usage" 400 2 Caller No false
        "コマンドの使い方が正しくありません。"
        "The command was used wrongly."
        "Run the command with --help."
    BadInput "bad_input" 400 1 Caller No false
        "入力を解釈できません。"
        "The input is not what this command reads."
        "Check the file or line the message names."
    UnknownCode "unknown_code" 404 1 Caller No false
        "このコードは使用されていません。"
        "No code of that name is ever emitted."
        "Run `madoguchi explain --list` to see every code."
    Configuration "configuration" 400 78 Operator No false
        "設定に誤りがあります。"
        "The configuration is refused."
        "Mend the key the message names; `madoguchi config check` says whether it is well."
    SandboxOnly "sandbox_only" 403 78 Operator No false
        "サンドボックス用の設定は本番では使用できません。"
        "The configuration holds an entry made by a sandbox."
        "Replace the entry the message names by a real one."
    NodeUnreachable "node_unreachable" 503 69 Operator No true
        "ゲートウェイに接続できません。"
        "The gateway cannot be reached."
        "Check the address, the certificate files and whether the node runs."
    NotAnAnswer "not_an_answer" 502 70 Ours No false
        "ゲートウェイの応答を解釈できません。"
        "The gateway gave an answer this version does not understand."
        "Check that command and gateway are of the same version."
    StillUnderWay "still_under_way" 409 4 Caller Maybe true
        "処理はまだ終わっていません。"
        "It has not ended yet."
        "Watch the order, or ask again later."
    AuditBroken "audit_broken" 409 1 Operator No false
        "監査記録の連鎖が途切れています。"
        "The audit chain does not hold: a record was changed, lost or added."
        "Keep the file as it is and call the security officers."
    AuditUnavailable "audit_unavailable" 503 74 Operator No true
        "監査記録を書き込めません。"
        "The audit record cannot be written, so nothing else is done either."
        "Free disk space or mend the data directory, then start again."
    InputOutput "input_output" 503 75 Operator No true
        "ファイルまたはネットワークの操作に失敗しました。"
        "A file or socket of this machine cannot be used."
        "Do what the message says."
    NotAnSe "not_an_se" 400 78 Caller No false
        "このファイルは仮想SEのファイルではありません。"
        "The file is no virtual SE."
        "Name another file; this one was not changed."
    ScenarioFailed "scenario_failed" 500 70 Ours Maybe false
        "サンドボックスのシナリオが期待どおりに終わりませんでした。"
        "The sandbox did not end as it should."
        "Keep its directory with --keep and report it."
}
