//! The subscribers of the rehearsal: three subscriber bases on two carriers' platforms.

/// Carrier A: manages nothing itself, our Security Domain has Authorized Management there.
pub const CARRIER_A: &str = "carrier-a";
/// Carrier B: loads, installs and extradites for us.
pub const CARRIER_B: &str = "carrier-b";
/// The MVNO, a subscriber base on carrier A's platform.
pub const MVNO: &str = "mvno";

/// A subscriber base and the platform its SEs hang on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Base {
    /// The tenant.
    pub tenant: &'static str,
    /// The carrier whose TSM reaches its SEs.
    pub carrier: &'static str,
    /// Leading digits of its ICCIDs (ITU-T E.118: 89 telecommunications, 81 Japan, then the issuer).
    pub iccid_prefix: &'static str,
}

/// The three bases.
pub const BASES: [Base; 3] = [
    Base { tenant: CARRIER_A, carrier: CARRIER_A, iccid_prefix: "898110" },
    Base { tenant: CARRIER_B, carrier: CARRIER_B, iccid_prefix: "898120" },
    Base { tenant: MVNO, carrier: CARRIER_A, iccid_prefix: "898130" },
];

/// One subscriber's SE.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscriber {
    /// The tenant it belongs to.
    pub tenant: String,
    /// The carrier whose TSM reaches it.
    pub carrier: String,
    /// The SE's ICCID, 19 digits.
    pub iccid: String,
}

impl Subscriber {
    /// The `serial`th subscriber of a base.
    #[must_use]
    pub fn new(base: &Base, serial: u32) -> Subscriber {
        Subscriber {
            tenant: base.tenant.to_owned(),
            carrier: base.carrier.to_owned(),
            iccid: iccid(base.iccid_prefix, serial),
        }
    }
}

/// `count` subscribers of each base, base after base.
#[must_use]
pub fn subscribers(count: u32) -> Vec<Subscriber> {
    let of = |base: &'static Base| (1..=count).map(move |serial| Subscriber::new(base, serial));
    BASES.iter().flat_map(of).collect()
}

/// The subscriber bases whose SEs hang on a carrier's platform.
#[must_use]
pub fn tenants_of(carrier: &str) -> Vec<&'static str> {
    BASES.iter().filter(|base| base.carrier == carrier).map(|base| base.tenant).collect()
}

/// An ICCID of 19 digits: prefix, serial number, check digit (ITU-T E.118; ISO/IEC 7812-1 annex B).
fn iccid(prefix: &str, serial: u32) -> String {
    let width = 18_usize.saturating_sub(prefix.len());
    let digits = format!("{prefix}{serial:0width$}");
    let check = (10 - luhn_sum(&digits) % 10) % 10;
    format!("{digits}{check}")
}

/// Luhn's sum over digits that stand left of a check digit.
fn luhn_sum(digits: &str) -> u32 {
    digits
        .chars()
        .rev()
        .filter_map(|digit| digit.to_digit(10))
        .enumerate()
        .map(|(place, digit)| match (place % 2 == 0, digit * 2) {
            (false, _) => digit,
            (true, twice) if twice > 9 => twice - 9,
            (true, twice) => twice,
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn the_check_digit_is_that_of_the_standard() {
        // The example number of ISO/IEC 7812-1 annex B: 7992739871 with check digit 3.
        assert_eq!((10 - luhn_sum("7992739871") % 10) % 10, 3);
    }

    #[test]
    fn iccids_have_19_digits_and_differ() {
        let subscribers = subscribers(4);
        assert_eq!(subscribers.len(), 12);
        for subscriber in &subscribers {
            assert_eq!(subscriber.iccid.len(), 19);
            let (body, check) = subscriber.iccid.split_at(18);
            assert_eq!((luhn_sum(body) + check.parse::<u32>().unwrap()) % 10, 0);
        }
        let distinct: HashSet<_> = subscribers.iter().map(|s| &s.iccid).collect();
        assert_eq!(distinct.len(), 12);
    }

    #[test]
    fn the_mvno_rides_on_carrier_a() {
        let mvno = subscribers(1).into_iter().find(|s| s.tenant == MVNO).unwrap();
        assert_eq!(mvno.carrier, CARRIER_A);
        assert_eq!(tenants_of(CARRIER_A), [CARRIER_A, MVNO]);
    }
}
