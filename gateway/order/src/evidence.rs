//! What a verdict rests on.

use serde::{Deserialize, Serialize};

use crate::WriteKind;

/// The observation a verdict rests on. Kept with the verdict and named in the receipt.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evidence {
    /// How it was learned.
    pub how: EvidenceClass,
    /// What was seen, in words safe to show anyone: status words, Key Version Numbers, counters.
    pub detail: String,
}

/// How a verdict was learned.
///
/// A bare status word is not among them: SCP03 puts no R-MAC on error status words (Amendment D,
/// section 6.2.5), so a carrier could have written them. Nor is 9000 to EXTERNAL AUTHENTICATE.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum EvidenceClass {
    /// The answer to the write itself: valid R-MAC, 9000, expected Key Version Number and Key Check
    /// Values.
    RMacAnswer,
    /// A later session in which an answer after EXTERNAL AUTHENTICATE carried a valid R-MAC.
    ProbeRMac,
    /// On an SE without R-MAC: a further INITIALIZE UPDATE proved a higher sequence counter, so the
    /// probe's EXTERNAL AUTHENTICATE was taken.
    ProbeHigherCounter,
    /// The Key Information Template (Card Specification, section 11.3.3.1) read under R-MAC.
    KeyInformationTemplate,
    /// The service profile's application probe, under R-MAC.
    ApplicationProbe,
}

impl EvidenceClass {
    /// Whether a probe of this class can settle a write of `kind`, for or against.
    ///
    /// The answer to the write itself is no probe: it can show that a write was applied, never that
    /// it was not, and it cannot be the second session that confirms.
    pub fn settles(self, kind: WriteKind) -> bool {
        match kind {
            WriteKind::SdKeyset => matches!(
                self,
                Self::ProbeRMac | Self::ProbeHigherCounter | Self::KeyInformationTemplate
            ),
            WriteKind::SdKeysetDelete => matches!(self, Self::KeyInformationTemplate),
            WriteKind::AppKey => matches!(self, Self::ApplicationProbe),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_to_a_write_settles_no_probe() {
        for kind in [WriteKind::SdKeyset, WriteKind::SdKeysetDelete, WriteKind::AppKey] {
            assert!(!EvidenceClass::RMacAnswer.settles(kind));
        }
    }

    #[test]
    fn a_deleted_key_set_is_judged_by_the_key_information_template_alone() {
        use EvidenceClass::*;
        for how in [RMacAnswer, ProbeRMac, ProbeHigherCounter, ApplicationProbe] {
            assert!(!how.settles(WriteKind::SdKeysetDelete));
        }
        assert!(KeyInformationTemplate.settles(WriteKind::SdKeysetDelete));
    }
}
