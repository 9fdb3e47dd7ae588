//! `route explain`.

use carriers::{
    SeId,
    route::{Because, RouteQuery, Router, SeType},
};
use clap::{Args, Subcommand};
use serde::de::{DeserializeOwned, value::StrDeserializer};

use super::{
    config::Source,
    outcome::{Failure, Outcome},
};
use crate::code::Word;

#[derive(Subcommand)]
pub(super) enum Verb {
    /// Which rule an SE is routed by, and why the tenant's other rules are not it
    #[command(
        after_help = "Example:\n  madoguchi route explain --config node.toml --tenant carrier-a --iccid 8981100000000000018"
    )]
    Explain(Arguments),
}

#[derive(Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    source: Source,
    /// The subscriber base
    #[arg(long)]
    tenant: String,
    #[command(flatten)]
    se: Number,
    /// Kind of SE: uicc, euicc, ese or ise
    #[arg(long, value_parser = word::<SeType>)]
    se_type: Option<SeType>,
}

#[derive(Args)]
#[group(required = true, multiple = false)]
struct Number {
    /// 18 to 20 digits
    #[arg(long)]
    iccid: Option<String>,
    /// 32 digits
    #[arg(long)]
    eid: Option<String>,
}

impl Verb {
    pub(super) fn run(self) -> Result<Outcome, Failure> {
        let Verb::Explain(arguments) = self;
        let se = match (&arguments.se.iccid, &arguments.se.eid) {
            (Some(digits), _) => SeId::iccid(digits),
            (None, Some(digits)) => SeId::eid(digits),
            (None, None) => {
                return Err(Failure::new(Word::Usage, "name the SE by --iccid or --eid"));
            }
        };
        let se = se.map_err(|cause| Failure::new(Word::Usage, cause.to_string()))?;
        let settings = arguments.source.load()?.value;
        let router = Router::new(settings.routes)
            .map_err(|cause| Failure::new(Word::Configuration, cause.to_string()))?;
        explain(&router, &RouteQuery { tenant: arguments.tenant, se, se_type: arguments.se_type })
    }
}

fn explain(router: &Router, query: &RouteQuery) -> Result<Outcome, Failure> {
    let explanation = router.explain(query);
    let mut text = match &explanation.routed {
        Some(way) => format!(
            "rule {} → carrier {}, SE profile {}, Security Domain {}",
            way.rule, way.carrier, way.profile, way.security_domain
        ),
        None => "no rule of this tenant takes this SE".to_owned(),
    };
    for considered in &explanation.rules {
        let because = match considered.because {
            Because::Taken => "taken",
            Because::OtherRange => "takes other number ranges",
            Because::OtherSeType => "takes another kind of SE, or the kind is not known",
            Because::LongerPrefixWins => "another rule has a longer prefix",
            Because::NamedSeTypeWins => "a rule with the same prefix names the kind of SE",
        };
        text += &format!("\n  {}: {because}", considered.rule);
    }
    let exit = if explanation.routed.is_some() { 0 } else { Word::NoRoute.entry().exit };
    let document = serde_json::to_value(&explanation).map_err(Failure::internal)?;
    Ok(Outcome::new(document, text).exit(exit))
}

/// Reads a word as the configuration does.
fn word<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    let deserializer: StrDeserializer<'_, serde::de::value::Error> = StrDeserializer::new(text);
    T::deserialize(deserializer).map_err(|cause| cause.to_string())
}
