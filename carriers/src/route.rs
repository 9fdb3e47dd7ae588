//! Which carrier an order goes to: by tenant, number range and kind of secure element.
//!
//! Within a tenant the longest matching prefix wins, then the rule that names the kind of SE. Two rules that could tie are refused
//! when the table is loaded, so a route never depends on the order of the rules. A tenant never reaches another tenant's rule.

use std::collections::{HashMap, HashSet};

use scp::aid::Aid;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::identifier::SeId;

/// Kind of secure element.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SeType {
    /// Removable SIM.
    Uicc,
    /// Embedded SIM with remotely managed profiles.
    Euicc,
    /// Embedded secure element of a device.
    Ese,
    /// Secure element integrated in the device's processor.
    Ise,
}

/// One rule of the routing table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RouteRule {
    /// Unique name, shown by `route explain`.
    pub name: String,
    /// The subscriber base it belongs to.
    pub tenant: String,
    /// The carrier it leads to.
    pub carrier: String,
    /// Leading digits of the ICCIDs it takes (issuer identification number and range).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub iccid_prefix: Option<String>,
    /// Leading digits of the EIDs it takes. With neither prefix a rule takes every SE of its tenant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eid_prefix: Option<String>,
    /// The kind of SE it takes; any when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub se_type: Option<SeType>,
    /// Name of the SE profile.
    pub profile: String,
    /// AID of our Security Domain on these SEs.
    pub security_domain: Aid,
}

impl RouteRule {
    /// The prefixes it is looked up by.
    fn prefixes(&self) -> Vec<(Number, &str)> {
        match (&self.iccid_prefix, &self.eid_prefix) {
            (None, None) => vec![(Number::Iccid, ""), (Number::Eid, "")],
            (iccid, eid) => [
                iccid.as_deref().map(|prefix| (Number::Iccid, prefix)),
                eid.as_deref().map(|prefix| (Number::Eid, prefix)),
            ]
            .into_iter()
            .flatten()
            .collect(),
        }
    }
}

/// Which number an SE is named by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Number {
    Iccid,
    Eid,
}

impl Number {
    fn of(se: &SeId) -> Number {
        match se {
            SeId::Iccid(_) => Number::Iccid,
            SeId::Eid(_) => Number::Eid,
        }
    }

    /// Digits of the longest number of this kind.
    fn digits_max(self) -> usize {
        match self {
            Number::Iccid => 20,
            Number::Eid => 32,
        }
    }
}

/// A routing table that cannot be.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RouteTableError {
    /// Two rules of one name.
    #[error("route {0:?} is there twice")]
    DuplicateName(String),
    /// An empty name, tenant, carrier or profile.
    #[error("route {rule:?}: {field} is empty")]
    Empty {
        /// The rule.
        rule: String,
        /// The field.
        field: &'static str,
    },
    /// A prefix that is not decimal digits, or longer than the number.
    #[error("route {rule:?}: prefix {prefix:?} is not the beginning of a number")]
    Prefix {
        /// The rule.
        rule: String,
        /// The prefix.
        prefix: String,
    },
    /// Two rules that would claim the same secure elements with the same strength.
    #[error("routes {first:?} and {second:?} of tenant {tenant:?} claim the same secure elements")]
    Tie {
        /// One rule.
        first: String,
        /// The other.
        second: String,
        /// Their tenant.
        tenant: String,
    },
}

/// Which way an SE of a tenant goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RouteQuery {
    /// The subscriber base.
    pub tenant: String,
    /// The secure element.
    pub se: SeId,
    /// Its kind, if known. A rule that asks for a kind does not take an SE of unknown kind.
    pub se_type: Option<SeType>,
}

/// The way found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Routed {
    /// Name of the rule.
    pub rule: String,
    /// The carrier.
    pub carrier: String,
    /// Name of the SE profile.
    pub profile: String,
    /// AID of our Security Domain there.
    pub security_domain: Aid,
}

/// No rule of the tenant takes this SE.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("no route of this tenant takes this secure element")]
pub struct NoRoute;

/// Which rule was taken, and why each other rule of the tenant was not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// What was asked.
    pub query: RouteQuery,
    /// The way found.
    pub routed: Option<Routed>,
    /// Every rule of the tenant, in the order of the table.
    pub rules: Vec<Considered>,
    /// Rules of other tenants: never looked at, never named.
    pub other_tenants: usize,
}

/// One rule and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Considered {
    /// Name of the rule.
    pub rule: String,
    /// What became of it.
    pub because: Because,
}

/// Why a rule was or was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Because {
    /// It is the way.
    Taken,
    /// It takes other number ranges.
    OtherRange,
    /// It takes another kind of SE, or the SE's kind is not known.
    OtherSeType,
    /// Another rule has a longer prefix.
    LongerPrefixWins,
    /// A rule with the same prefix names the kind of SE.
    NamedSeTypeWins,
}

type Claim<'a> = (&'a str, Number, &'a str, Option<SeType>);

/// The routing table, checked and indexed.
#[derive(Debug, Clone, Default)]
pub struct Router {
    rules: Vec<RouteRule>,
    // Tenant → kind of number → prefix → rules (at most one for each kind of SE, and one for any).
    index: HashMap<String, HashMap<(Number, String), Vec<usize>>>,
}

impl Router {
    /// Checks and indexes a table.
    ///
    /// # Errors
    /// The first rule that is malformed, doubled or ties with another.
    pub fn new(rules: Vec<RouteRule>) -> Result<Router, RouteTableError> {
        check_rules(&rules)?;
        check_ties(&rules)?;
        let mut index: HashMap<String, HashMap<(Number, String), Vec<usize>>> = HashMap::new();
        for (position, rule) in rules.iter().enumerate() {
            let tenant = index.entry(rule.tenant.clone()).or_default();
            for (number, prefix) in rule.prefixes() {
                tenant.entry((number, prefix.to_owned())).or_default().push(position);
            }
        }
        Ok(Router { rules, index })
    }

    /// The rules, in the order of the table.
    pub fn rules(&self) -> &[RouteRule] {
        &self.rules
    }

    /// The way of an SE.
    ///
    /// # Errors
    /// [`NoRoute`] when no rule of the tenant takes it.
    pub fn route(&self, query: &RouteQuery) -> Result<Routed, NoRoute> {
        let (_, rule) = self.find(query).ok_or(NoRoute)?;
        Ok(Routed {
            rule: rule.name.clone(),
            carrier: rule.carrier.clone(),
            profile: rule.profile.clone(),
            security_domain: rule.security_domain,
        })
    }

    /// Which rule takes an SE and why the tenant's others do not.
    pub fn explain(&self, query: &RouteQuery) -> Explanation {
        let taken = self.find(query);
        let ours = || self.rules.iter().filter(|rule| rule.tenant == query.tenant);
        let rules = ours().map(|rule| Considered {
            rule: rule.name.clone(),
            because: because(rule, query, taken),
        });
        Explanation {
            query: query.clone(),
            routed: self.route(query).ok(),
            rules: rules.collect(),
            other_tenants: self.rules.len() - ours().count(),
        }
    }

    /// The winning rule and the length of its matching prefix.
    fn find(&self, query: &RouteQuery) -> Option<(usize, &RouteRule)> {
        let prefixes = self.index.get(&query.tenant)?;
        let number = Number::of(&query.se);
        let digits = query.se.as_str();
        for length in (0..=digits.len()).rev() {
            let prefix = digits.get(..length)?.to_owned();
            let Some(positions) = prefixes.get(&(number, prefix)) else { continue };
            let candidates = positions.iter().filter_map(|&position| self.rules.get(position));
            let winner = candidates
                .filter(|rule| rule.se_type.is_none() || rule.se_type == query.se_type)
                .max_by_key(|rule| rule.se_type.is_some());
            if let Some(rule) = winner {
                return Some((length, rule));
            }
        }
        None
    }
}

fn because(rule: &RouteRule, query: &RouteQuery, taken: Option<(usize, &RouteRule)>) -> Because {
    let number = Number::of(&query.se);
    let matching = rule
        .prefixes()
        .into_iter()
        .find(|(kind, prefix)| *kind == number && query.se.as_str().starts_with(prefix));
    let Some((_, prefix)) = matching else { return Because::OtherRange };
    if rule.se_type.is_some() && rule.se_type != query.se_type {
        return Because::OtherSeType;
    }
    match taken {
        Some((_, winner)) if winner.name == rule.name => Because::Taken,
        Some((length, _)) if length > prefix.len() => Because::LongerPrefixWins,
        _ => Because::NamedSeTypeWins,
    }
}

fn check_rules(rules: &[RouteRule]) -> Result<(), RouteTableError> {
    let mut names = HashSet::new();
    for rule in rules {
        let fields = [
            ("name", &rule.name),
            ("tenant", &rule.tenant),
            ("carrier", &rule.carrier),
            ("profile", &rule.profile),
        ];
        if let Some((field, _)) = fields.into_iter().find(|(_, value)| value.is_empty()) {
            return Err(RouteTableError::Empty { rule: rule.name.clone(), field });
        }
        if !names.insert(rule.name.as_str()) {
            return Err(RouteTableError::DuplicateName(rule.name.clone()));
        }
        for (number, prefix) in rule.prefixes() {
            let digits = prefix.bytes().all(|byte| byte.is_ascii_digit());
            if !digits || prefix.len() > number.digits_max() {
                let prefix = prefix.to_owned();
                return Err(RouteTableError::Prefix { rule: rule.name.clone(), prefix });
            }
        }
    }
    Ok(())
}

/// Two prefixes of one length that both match an SE are the same digits, so only equal claims can tie.
fn check_ties(rules: &[RouteRule]) -> Result<(), RouteTableError> {
    let mut claims: HashMap<Claim<'_>, &str> = HashMap::new();
    for rule in rules {
        for (number, prefix) in rule.prefixes() {
            let claim = (rule.tenant.as_str(), number, prefix, rule.se_type);
            if let Some(first) = claims.insert(claim, &rule.name) {
                return Err(RouteTableError::Tie {
                    first: first.to_owned(),
                    second: rule.name.clone(),
                    tenant: rule.tenant.clone(),
                });
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(name: &str, tenant: &str, iccid_prefix: Option<&str>) -> RouteRule {
        RouteRule {
            name: name.into(),
            tenant: tenant.into(),
            carrier: format!("to-{name}"),
            iccid_prefix: iccid_prefix.map(str::to_owned),
            eid_prefix: None,
            se_type: None,
            profile: "sandbox-70".into(),
            security_domain: "A000000151535001".parse().unwrap(),
        }
    }

    fn query(tenant: &str, iccid: &str) -> RouteQuery {
        RouteQuery { tenant: tenant.into(), se: SeId::iccid(iccid).unwrap(), se_type: None }
    }

    const ICCID: &str = "8981100000000000018";

    #[test]
    fn the_longest_prefix_wins_whatever_the_order() {
        let rules = [
            rule("any", "a", None),
            rule("country", "a", Some("8981")),
            rule("range", "a", Some("898110")),
            rule("other", "a", Some("898120")),
        ];
        for turn in 0..rules.len() {
            let mut rules = rules.to_vec();
            rules.rotate_left(turn);
            let router = Router::new(rules).unwrap();
            assert_eq!(router.route(&query("a", ICCID)).unwrap().rule, "range");
            assert_eq!(router.route(&query("a", "8982100000000000018")).unwrap().rule, "any");
        }
    }

    #[test]
    fn a_tenant_never_reaches_another_tenant_s_rule() {
        let router =
            Router::new(vec![rule("b", "b", Some(ICCID)), rule("a", "a", Some("8982"))]).unwrap();
        assert_eq!(router.route(&query("a", ICCID)), Err(NoRoute));
        assert_eq!(router.route(&query("c", ICCID)), Err(NoRoute));
        let explanation = router.explain(&query("a", ICCID));
        assert_eq!(explanation.other_tenants, 1);
        assert!(!serde_json::to_string(&explanation).unwrap().contains("to-b"));
    }

    #[test]
    fn ties_are_refused_at_load() {
        let table = vec![rule("x", "a", Some("8981")), rule("y", "a", Some("8981"))];
        assert!(matches!(Router::new(table), Err(RouteTableError::Tie { .. })));
        let table = vec![rule("x", "a", Some("8981")), rule("y", "b", Some("8981"))];
        assert!(Router::new(table).is_ok());
        let both = RouteRule { eid_prefix: Some("89".into()), ..rule("x", "a", Some("8981")) };
        let eid = RouteRule { eid_prefix: Some("89".into()), ..rule("y", "a", None) };
        assert!(matches!(Router::new(vec![both, eid]), Err(RouteTableError::Tie { .. })));
    }

    #[test]
    fn a_named_kind_of_se_beats_any_and_an_unknown_kind_matches_none() {
        let uicc = RouteRule { se_type: Some(SeType::Uicc), ..rule("uicc", "a", Some("8981")) };
        let router = Router::new(vec![rule("any", "a", Some("8981")), uicc.clone()]).unwrap();
        let known = RouteQuery { se_type: Some(SeType::Uicc), ..query("a", ICCID) };
        assert_eq!(router.route(&known).unwrap().rule, "uicc");
        assert_eq!(router.route(&query("a", ICCID)).unwrap().rule, "any");
        let reasons: Vec<_> =
            router.explain(&known).rules.into_iter().map(|considered| considered.because).collect();
        assert_eq!(reasons, [Because::NamedSeTypeWins, Because::Taken]);
        let alone = Router::new(vec![uicc]).unwrap();
        assert_eq!(alone.route(&query("a", ICCID)), Err(NoRoute));
        assert_eq!(alone.explain(&query("a", ICCID)).rules[0].because, Because::OtherSeType);
    }

    #[test]
    fn explain_agrees_with_route() {
        let router = Router::new(vec![
            rule("any", "a", None),
            rule("country", "a", Some("8981")),
            rule("other", "a", Some("8982")),
        ])
        .unwrap();
        let explanation = router.explain(&query("a", ICCID));
        assert_eq!(explanation.routed, router.route(&query("a", ICCID)).ok());
        let reasons: Vec<_> = explanation.rules.iter().map(|rule| rule.because).collect();
        assert_eq!(reasons, [Because::LongerPrefixWins, Because::Taken, Because::OtherRange]);
    }

    #[test]
    fn malformed_rules_are_refused_by_name() {
        let letters = Router::new(vec![rule("x", "a", Some("89A"))]);
        assert!(matches!(letters, Err(RouteTableError::Prefix { .. })));
        let long = Router::new(vec![rule("x", "a", Some("898110000000000001899"))]);
        assert!(matches!(long, Err(RouteTableError::Prefix { .. })));
        let twice = Router::new(vec![rule("x", "a", None), rule("x", "b", None)]);
        assert!(matches!(twice, Err(RouteTableError::DuplicateName(_))));
        assert!(matches!(
            Router::new(vec![rule("x", "", None)]),
            Err(RouteTableError::Empty { .. })
        ));
    }
}
