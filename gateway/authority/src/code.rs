//! The codes a counter can be answered with, and what each means to a clerk.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Why a counter token was refused. Numbered in the order of the checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Code {
    /// No token was presented.
    T00,
    /// The token has not the shape of a counter token.
    T01,
    /// The header asks for something not allowed: algorithm, type, an unknown member.
    T02,
    /// No trusted key of the issuer signed it.
    T03,
    /// The signature is wrong.
    T04,
    /// The issuer is suspended, or the token is for another gateway.
    T05,
    /// Not valid yet, no longer, or for too long.
    T06,
    /// Presented over another client certificate than the one it names.
    T07,
    /// Key, terminal, clerk or token is revoked or not registered.
    T08,
    /// Used before, for something else.
    T09,
    /// Older than a token already taken from this terminal.
    T10,
    /// Authorizes something else than the order that was opened.
    T11,
    /// Access code missing or wrong.
    T12,
    /// Policy does not accept it.
    T13,
}

/// A text that is none of the codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a token code (T00 to T13)")]
pub struct UnknownCode;

impl Code {
    /// Every code, in order.
    pub const ALL: [Self; 14] = [
        Self::T00,
        Self::T01,
        Self::T02,
        Self::T03,
        Self::T04,
        Self::T05,
        Self::T06,
        Self::T07,
        Self::T08,
        Self::T09,
        Self::T10,
        Self::T11,
        Self::T12,
        Self::T13,
    ];

    /// The code as users and JSON see it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::T00 => "T00",
            Self::T01 => "T01",
            Self::T02 => "T02",
            Self::T03 => "T03",
            Self::T04 => "T04",
            Self::T05 => "T05",
            Self::T06 => "T06",
            Self::T07 => "T07",
            Self::T08 => "T08",
            Self::T09 => "T09",
            Self::T10 => "T10",
            Self::T11 => "T11",
            Self::T12 => "T12",
            Self::T13 => "T13",
        }
    }

    /// The HTTP status that goes with the code (RFC 9110, section 15.5).
    pub fn http_status(self) -> u16 {
        match self {
            Self::T01 => 400,
            Self::T00 | Self::T02 | Self::T03 | Self::T04 | Self::T06 => 401,
            Self::T05 | Self::T07 | Self::T08 | Self::T11 | Self::T12 | Self::T13 => 403,
            Self::T09 | Self::T10 => 409,
        }
    }

    /// Whether the counter can put it right by itself: a fresh token, or the code typed again.
    pub fn retry_helps(self) -> bool {
        match self {
            Self::T00 | Self::T06 | Self::T09 | Self::T10 | Self::T11 | Self::T12 => true,
            Self::T01
            | Self::T02
            | Self::T03
            | Self::T04
            | Self::T05
            | Self::T07
            | Self::T08
            | Self::T13 => false,
        }
    }

    /// One English sentence for the clerk.
    pub fn en(self) -> &'static str {
        match self {
            Self::T00 => {
                "No authorization was sent; please authorize the procedure at the counter terminal."
            }
            Self::T01 => {
                "The authorization could not be read; please contact the terminal's support desk."
            }
            Self::T02 => {
                "The authorization is of a kind that is not accepted; please contact the terminal's support desk."
            }
            Self::T03 => {
                "The issuer's key is not registered here; please contact your system administrator."
            }
            Self::T04 => "The signature is not valid; please contact your system administrator.",
            Self::T05 => {
                "This issuer or destination is not accepted; please contact your system administrator."
            }
            Self::T06 => {
                "The authorization is outside its time; please check the terminal's clock and authorize again."
            }
            Self::T07 => {
                "The authorization was issued for another terminal; please use the terminal that issued it."
            }
            Self::T08 => {
                "This terminal, clerk or key is not allowed to authorize; please contact your system administrator."
            }
            Self::T09 => "The authorization was already used; please authorize again.",
            Self::T10 => {
                "A newer authorization of this terminal was already taken; please authorize again."
            }
            Self::T11 => {
                "The authorization does not match the order; please open the order again and authorize it."
            }
            Self::T12 => {
                "The access code is not right; please ask the applicant to enter it again."
            }
            Self::T13 => {
                "The rules in force do not allow this procedure here; please contact your system administrator."
            }
        }
    }

    /// One Japanese sentence for the clerk.
    pub fn ja(self) -> &'static str {
        match self {
            Self::T00 => "認可が送信されていません。窓口端末で認可の操作を行ってください。",
            Self::T01 => "認可を読み取れませんでした。端末のサポート窓口に連絡してください。",
            Self::T02 => "受け付けられない形式の認可です。端末のサポート窓口に連絡してください。",
            Self::T03 => "発行者の鍵が登録されていません。システム管理者に連絡してください。",
            Self::T04 => "署名が正しくありません。システム管理者に連絡してください。",
            Self::T05 => {
                "この発行者または宛先は受け付けられません。システム管理者に連絡してください。"
            }
            Self::T06 => "認可の有効時間外です。端末の時計を確認し、もう一度認可してください。",
            Self::T07 => "別の端末で発行された認可です。発行した端末で操作してください。",
            Self::T08 => {
                "この端末、職員または鍵では認可できません。システム管理者に連絡してください。"
            }
            Self::T09 => "この認可はすでに使用されています。もう一度認可してください。",
            Self::T10 => {
                "この端末のより新しい認可がすでに受け付けられています。もう一度認可してください。"
            }
            Self::T11 => {
                "認可の内容が申込みと一致しません。申込みを開き直し、もう一度認可してください。"
            }
            Self::T12 => {
                "アクセスコードが正しくありません。申請者にもう一度入力を依頼してください。"
            }
            Self::T13 => "現在の規則ではこの手続きを行えません。システム管理者に連絡してください。",
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Code {
    type Err = UnknownCode;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|code| code.as_str() == text).ok_or(UnknownCode)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_code_is_read_back_and_explained() {
        let mut sentences = HashSet::new();
        for (number, code) in Code::ALL.into_iter().enumerate() {
            assert_eq!(code.as_str(), format!("T{number:02}"));
            assert_eq!(code.as_str().parse(), Ok(code));
            assert_eq!(serde_json::to_value(code).unwrap(), code.as_str());
            assert!((400..500).contains(&code.http_status()));
            assert!(code.en().ends_with('.') && code.ja().ends_with('。'));
            assert!(sentences.insert(code.en()) && sentences.insert(code.ja()));
        }
        for text in ["", "T14", "t01", "T1", "S01"] {
            assert_eq!(text.parse::<Code>(), Err(UnknownCode));
        }
    }
}
