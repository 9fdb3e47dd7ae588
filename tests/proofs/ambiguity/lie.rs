//! What a carrier can do to a key write, and say about it.

/// A lie about one script. `applied` says whether the secure element (SE) really gets it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lie {
    /// Delivered, and answered with what the SE said.
    None,
    /// No answer ever comes.
    Silence { applied: bool },
    /// HTTP status 503.
    ServerError { applied: bool },
    /// The function's own `Failed`.
    Refused { applied: bool },
    /// The function's own `Expired`.
    Expired { applied: bool },
    /// Delivered twice; without `applied` a damaged copy came first. The answer is the first's or the second's.
    Duplicate { applied: bool, second: bool },
    /// The answer breaks off after so many bytes (modulo its length).
    Truncated { applied: bool, at: usize },
    /// 9000 to everything, with data that look like an answer, or bare.
    ForgedSuccess { applied: bool, data: bool },
    /// A status word of the carrier's invention.
    ForgedRefusal { applied: bool, status: u16 },
    /// What the SE answered to an earlier script.
    Stale { applied: bool },
    /// What another SE of the same product answers.
    OtherSe { applied: bool },
    /// No answer; the script reaches the SE when so many more APDUs did.
    Late { after: usize },
    /// No answer; the whole conversation, SELECT to the script, is played again when so many more APDUs reached the SE.
    Replayed { applied: bool, after: usize },
    /// No answer, and the next scripts are lied about too.
    ThenProbes { applied: bool, probe: ProbeLie },
}

/// A lie about the scripts after the key write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ProbeLie {
    /// No answer, nothing delivered.
    Silence,
    /// SELECT 9000, then a status word of the carrier's invention.
    Refusal(u16),
    /// 9000 with bytes that mean nothing.
    Garbage,
    /// Answers to earlier scripts.
    Stale,
    /// Another SE's answers.
    OtherSe,
}

/// How many scripts [`Lie::ThenProbes`] lies about.
pub(crate) const PROBES_LIED_ABOUT: u32 = 3;
/// APDUs until a late or repeated delivery: before the probe's SELECT, inside its opening, inside what it reads, and after it.
const DELAYS: [usize; 8] = [0, 1, 2, 3, 4, 5, 6, 9];
/// Status words a carrier may invent: wrong data, security, not found, conditions, too short to say anything.
const STATUS_WORDS: [u16; 4] = [0x6A80, 0x6982, 0x6A88, 0x6985];

impl Lie {
    /// The row of the table it is counted in.
    pub(crate) fn row(self) -> &'static str {
        match self {
            Lie::None => "none",
            Lie::Silence { .. } => "timeout",
            Lie::ServerError { .. } => "5xx",
            Lie::Refused { .. } => "carrier refuses",
            Lie::Expired { .. } => "carrier says expired",
            Lie::Duplicate { .. } => "duplicate",
            Lie::Truncated { .. } => "truncated",
            Lie::ForgedSuccess { .. } => "forged success",
            Lie::ForgedRefusal { .. } => "forged refusal",
            Lie::Stale { .. } => "stale answer",
            Lie::OtherSe { .. } => "another SE's answer",
            Lie::Late { .. } => "late delivery",
            Lie::Replayed { .. } => "old script replayed",
            Lie::ThenProbes { .. } => "probes lied about",
        }
    }

    /// Every lie, truncation at these bytes.
    pub(crate) fn all(cuts: &[usize]) -> Vec<Lie> {
        let mut lies = vec![Lie::None];
        for applied in [true, false] {
            lies.extend([
                Lie::Silence { applied },
                Lie::ServerError { applied },
                Lie::Refused { applied },
                Lie::Expired { applied },
                Lie::Duplicate { applied, second: false },
                Lie::Duplicate { applied, second: true },
                Lie::ForgedSuccess { applied, data: false },
                Lie::ForgedSuccess { applied, data: true },
                Lie::Stale { applied },
                Lie::OtherSe { applied },
            ]);
            lies.extend(cuts.iter().map(|at| Lie::Truncated { applied, at: *at }));
            lies.extend(STATUS_WORDS.map(|status| Lie::ForgedRefusal { applied, status }));
            lies.extend(DELAYS.map(|after| Lie::Replayed { applied, after }));
            let probes = [
                ProbeLie::Silence,
                ProbeLie::Refusal(0x6A88),
                ProbeLie::Refusal(0x6982),
                ProbeLie::Garbage,
                ProbeLie::Stale,
                ProbeLie::OtherSe,
            ];
            lies.extend(probes.map(|probe| Lie::ThenProbes { applied, probe }));
        }
        lies.extend(DELAYS.map(|after| Lie::Late { after }));
        lies
    }
}

/// Pseudo-random numbers from a seed (splitmix64): the same storm again from the same seed.
#[derive(Debug, Clone)]
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound as u64).unwrap_or(0)
    }

    /// A lie about any script; most scripts are told the truth about.
    pub(crate) fn lie(&mut self, truth_in_percent: usize) -> Lie {
        if self.below(100) < truth_in_percent {
            return Lie::None;
        }
        let at = self.below(64);
        let lies = Lie::all(&[at]);
        lies[self.below(lies.len())]
    }
}
