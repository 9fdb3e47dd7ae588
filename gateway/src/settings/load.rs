//! From layers to settings that fit together.

use std::{
    collections::{BTreeMap, HashSet},
    path::Path,
};

use carriers::route::Router;
use conf::{ConfError, Layer, Layers, Loaded, Origin};
use garde::Validate;
use scp::profile::SeProfile;

use super::{PrincipalRule, Role, Settings};

/// Settings that were refused; the operator mends the key or the entry named.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The layers do not make settings.
    #[error(transparent)]
    Conf(#[from] ConfError),
    /// A value is outside its bounds.
    #[error("key `{path}`{}: {why}", in_layer(layer))]
    Bounds {
        /// The whole path of the key.
        path: String,
        /// The layer that sets it, where one does.
        layer: Option<Layer>,
        /// Least and most.
        why: String,
    },
    /// Two entries, or an entry and what it names, do not fit together.
    #[error("{path}: {why}")]
    Mismatch {
        /// The entry.
        path: String,
        /// What it does not fit.
        why: String,
    },
    /// An entry made by a sandbox, outside one.
    #[error(
        "{path} is marked `sandbox`: replace it by a real one; only `madoguchi sandbox` starts a node with it"
    )]
    Sandbox {
        /// The entry.
        path: String,
    },
}

fn in_layer(layer: &Option<Layer>) -> String {
    layer.as_ref().map(|layer| format!(" in {layer}")).unwrap_or_default()
}

/// The layers of a node: what ships, the file, the process's environment.
pub fn layers(file: Option<&Path>) -> Layers {
    let shipped = Layers::new(conf::shipped::DEFAULTS);
    file.into_iter().fold(shipped, Layers::file).process_environment()
}

/// Loads settings, adds the shipped SE profiles the operator does not replace, and checks that all fits together.
///
/// # Errors
/// [`SettingsError`], each with the key or the entry to mend. Nothing but configuration and secret files is read.
pub fn load(layers: Layers) -> Result<Loaded<Settings>, SettingsError> {
    let mut loaded = conf::load::<Settings>(layers)?;
    add_shipped_profiles(&mut loaded.value)?;
    check_bounds(&loaded.value, &loaded.origins)?;
    let authority = loaded.value.authority.check();
    authority
        .map_err(|cause| mismatch(format!("authority.{}", cause.path), cause.problem.to_owned()))?;
    check_profiles(&loaded.value)?;
    check_references(&loaded.value)?;
    check_principals(&loaded.value)?;
    Ok(loaded)
}

impl Settings {
    /// Refuses entries made by a sandbox unless the sandbox itself started this node.
    ///
    /// # Errors
    /// [`SettingsError::Sandbox`] with the first such entry.
    pub fn check_sandbox(&self, started_by_sandbox: bool) -> Result<(), SettingsError> {
        if self.sandbox && started_by_sandbox {
            return Ok(());
        }
        match self.sandbox_entries().into_iter().next() {
            Some(path) => Err(SettingsError::Sandbox { path }),
            None => Ok(()),
        }
    }

    /// Every entry marked `sandbox`, by its path.
    fn sandbox_entries(&self) -> Vec<String> {
        let authority = self
            .authority
            .marked_sandbox()
            .into_iter()
            .map(|path| (format!("authority: {path}"), true));
        let principals = self
            .principals
            .iter()
            .map(|rule| (format!("principals `{}`", rule.name), rule.sandbox));
        let tenants =
            self.tenants.iter().map(|tenant| (format!("tenants `{}`", tenant.id), tenant.sandbox));
        let carriers = self
            .carriers
            .iter()
            .map(|carrier| (format!("carriers `{}`", carrier.id), carrier.sandbox));
        let providers = self
            .service_providers
            .iter()
            .map(|provider| (format!("service_providers `{}`", provider.kid), provider.sandbox));
        std::iter::once(("sandbox".to_owned(), self.sandbox))
            .chain(authority)
            .chain(principals)
            .chain(tenants)
            .chain(carriers)
            .chain(providers)
            .filter_map(|(path, marked)| marked.then_some(path))
            .collect()
    }
}

fn add_shipped_profiles(settings: &mut Settings) -> Result<(), SettingsError> {
    for shipped in conf::shipped::SE_PROFILES {
        let replaced = settings.se_profiles.iter().any(|profile| profile.name == shipped.name);
        if !replaced {
            let profile: SeProfile = toml::from_str(shipped.text).map_err(|cause| {
                mismatch(format!("shipped profile {}", shipped.name), cause.to_string())
            })?;
            settings.se_profiles.push(profile);
        }
    }
    Ok(())
}

fn check_bounds(
    settings: &Settings,
    origins: &BTreeMap<String, Origin>,
) -> Result<(), SettingsError> {
    settings.validate().map_err(|report| {
        let first = report.iter().next();
        let (path, why) =
            first.map(|(path, error)| (path.to_string(), error.to_string())).unwrap_or_default();
        SettingsError::Bounds {
            layer: origins.get(&path).map(|origin| origin.layer.clone()),
            path,
            why,
        }
    })
}

fn check_profiles(settings: &Settings) -> Result<(), SettingsError> {
    for profile in &settings.se_profiles {
        let path = format!("se_profiles `{}`", profile.name);
        profile.check().map_err(|cause| mismatch(path, cause.to_string()))?;
    }
    for carrier in &settings.carriers {
        let path = format!("carriers `{}`", carrier.id);
        carrier.check().map_err(|cause| mismatch(path, cause.to_string()))?;
    }
    all_differ("se_profiles", settings.se_profiles.iter().map(|profile| profile.name.as_str()))?;
    all_differ("services", settings.services.iter().map(|service| service.profile.name.as_str()))?;
    all_differ("carriers", settings.carriers.iter().map(|carrier| carrier.id.as_str()))?;
    all_differ("tenants", settings.tenants.iter().map(|tenant| tenant.id.as_str()))?;
    all_differ(
        "service_providers",
        settings.service_providers.iter().map(|provider| provider.kid.as_str()),
    )
}

fn check_references(settings: &Settings) -> Result<(), SettingsError> {
    Router::new(settings.routes.clone())
        .map_err(|cause| mismatch("routes".to_owned(), cause.to_string()))?;
    for route in &settings.routes {
        let path = || format!("routes `{}`", route.name);
        let missing =
            |what: &str, name: &str| Err(mismatch(path(), format!("there is no {what} `{name}`")));
        if settings.tenant(&route.tenant).is_none() {
            return missing("tenant", &route.tenant);
        }
        if settings.se_profile(&route.profile).is_some_and(|profile| !profile.level.has_r_mac()) {
            let why = format!(
                "SE profile `{}` has no R-MAC, so nothing done to its SEs could be proven",
                route.profile
            );
            return Err(mismatch(path(), why));
        }
        if settings.se_profile(&route.profile).is_none() {
            return missing("SE profile", &route.profile);
        }
        if !settings.carriers.iter().any(|carrier| carrier.id == route.carrier) {
            return missing("carrier", &route.carrier);
        }
    }
    for provider in &settings.service_providers {
        known_tenants(
            settings,
            format!("service_providers `{}`", provider.kid),
            &provider.tenants,
        )?;
    }
    Ok(())
}

fn check_principals(settings: &Settings) -> Result<(), SettingsError> {
    all_differ("principals", settings.principals.iter().map(|rule| rule.name.as_str()))?;
    let certificates: Vec<String> = settings
        .principals
        .iter()
        .map(|rule| rule.certificate_sha256.to_ascii_uppercase())
        .collect();
    all_differ("principals by certificate_sha256", certificates.iter().map(String::as_str))?;
    for rule in &settings.principals {
        let path = format!("principals `{}`", rule.name);
        known_tenants(settings, path.clone(), &rule.tenants)?;
        if let Some(why) = role_misfit(settings, rule) {
            return Err(mismatch(path, why));
        }
    }
    Ok(())
}

/// A role's own member is there and means something, and no other role's is.
fn role_misfit(settings: &Settings, rule: &PrincipalRule) -> Option<String> {
    match (rule.role, &rule.carrier, &rule.terminal) {
        (Role::Carrier, Some(carrier), None) => {
            let known = settings.carriers.iter().any(|settings| settings.id == *carrier);
            (!known).then(|| format!("there is no carrier `{carrier}`"))
        }
        (Role::Carrier, _, _) => {
            Some("role `carrier` takes `carrier` and no `terminal`".to_owned())
        }
        (Role::Counter, None, Some(_)) => None,
        (Role::Counter, _, _) => {
            Some("role `counter` takes `terminal` and no `carrier`".to_owned())
        }
        (Role::Sp | Role::Officer | Role::Auditor | Role::Enquiry, None, None) => None,
        (Role::Sp | Role::Officer | Role::Auditor | Role::Enquiry, _, _) => {
            Some("this role takes neither `carrier` nor `terminal`".to_owned())
        }
    }
}

fn known_tenants(
    settings: &Settings,
    path: String,
    tenants: &[String],
) -> Result<(), SettingsError> {
    match tenants.iter().find(|tenant| settings.tenant(tenant).is_none()) {
        Some(unknown) => Err(mismatch(path, format!("there is no tenant `{unknown}`"))),
        None => Ok(()),
    }
}

fn all_differ<'a>(list: &str, names: impl Iterator<Item = &'a str>) -> Result<(), SettingsError> {
    let mut seen = HashSet::new();
    for name in names {
        if !seen.insert(name) {
            return Err(mismatch(list.to_owned(), format!("`{name}` is there twice")));
        }
    }
    Ok(())
}

fn mismatch(path: String, why: String) -> SettingsError {
    SettingsError::Mismatch { path, why }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Engine;

    /// A whole configuration but for the sections under test.
    fn settings(more: &str) -> Result<Settings, SettingsError> {
        let base = r#"
            node = { id = "n", data_dir = "/nonexistent" }
            custody = { kek_file = "/nonexistent" }
            server.certificate_file = "/nonexistent"
            server.key_file = "/nonexistent"
            server.client_ca_file = "/nonexistent"
            [authority]
            audience = "urn:test"
            skew_s = 30
            lifetime_max_s = 900
            issuers = []
            [authority.policy]
            version = "1"
            methods = ["face_to_face"]
            level_min = 2
            calendars = ["day"]
            access_code_mode = "required"
            actions = { issue = ["municipal_counter"] }
            [[tenants]]
            id = "t"
            app_key_max_known_to = ["custody"]
        "#;
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("node.toml");
        std::fs::write(&file, format!("{base}\n{more}")).unwrap();
        let shipped = Layers::new(conf::shipped::DEFAULTS);
        load(shipped.file(file)).map(|loaded| loaded.value)
    }

    fn refused(more: &str) -> String {
        settings(more).unwrap_err().to_string()
    }

    #[test]
    fn shipped_defaults_are_those_beside_the_fields() {
        let shipped = settings("").unwrap();
        let engine = Engine::default();
        assert_eq!(format!("{:?}", shipped.engine), format!("{engine:?}"));
        let bare = "listen = \"127.0.0.1:8443\"\ncertificate_file = \"/nonexistent\"\n\
                    key_file = \"/nonexistent\"\nclient_ca_file = \"/nonexistent\"\n";
        let server: crate::settings::Server = toml::from_str(bare).unwrap();
        assert_eq!(format!("{:?}", shipped.server), format!("{server:?}"));
    }

    #[test]
    fn shipped_profiles_are_there_and_may_be_replaced() {
        assert_eq!(settings("").unwrap().se_profiles.len(), conf::shipped::SE_PROFILES.len());
        let own = conf::shipped::SE_PROFILES[0].text.replace("block_max = 223", "block_max = 100");
        let settings = settings(&format!("[[se_profiles]]\n{own}")).unwrap();
        assert_eq!(settings.se_profiles.len(), conf::shipped::SE_PROFILES.len());
        assert_eq!(settings.se_profile("uicc-scp03-i70").unwrap().block_max, 100);
        let service: Result<scp::ServiceProfile, _> =
            toml::from_str(conf::shipped::SERVICES[0].text);
        assert_eq!(service.unwrap().name, conf::shipped::SERVICES[0].name);
    }

    #[test]
    fn what_is_unknown_out_of_bounds_or_does_not_fit_names_its_place() {
        assert!(refused("[engine]\nattempt_max = 3").contains("`engine.attempt_max`"));
        assert!(refused("[engine]\nattempt_max = 3").contains("did you mean `attempts_max`?"));
        assert!(refused("[engine]\nattempts_max = 11").contains("`engine.attempts_max` in /"));
        let route = "[[routes]]\nname = \"r\"\ntenant = \"t\"\ncarrier = \"c\"\n\
                     profile = \"uicc-scp03-i70\"\nsecurity_domain = \"A000000151535001\"\n";
        assert!(refused(route).contains("there is no carrier `c`"));
        let principal = |rest: &str| {
            let digest = "0".repeat(64);
            format!("[[principals]]\nname = \"p\"\ncertificate_sha256 = \"{digest}\"\n{rest}\n")
        };
        let sp = principal("role = \"sp\"\ntenants = [\"t\"]");
        assert!(settings(&sp).is_ok());
        assert!(refused(&format!("{sp}{sp}")).contains("twice"));
        assert!(refused(&principal("role = \"sp\"\ntenants = [\"u\"]")).contains("no tenant `u`"));
        assert!(
            refused(&principal("role = \"counter\"\ntenants = []")).contains("takes `terminal`")
        );
        assert!(
            refused(&principal("role = \"carrier\"\ntenants = []\ncarrier = \"c\""))
                .contains("no carrier `c`")
        );
    }

    #[test]
    fn entries_of_a_sandbox_are_refused_outside_it() {
        let marked = "[[tenants]]\nid = \"s\"\napp_key_max_known_to = []\nsandbox = true\n";
        let outside = settings(marked).unwrap();
        for started_by_sandbox in [false, true] {
            let refused = outside.check_sandbox(started_by_sandbox).unwrap_err().to_string();
            assert!(refused.contains("tenants `s`"), "the flag alone is not enough: {refused}");
        }
        let mut inside = outside;
        inside.sandbox = true;
        assert!(inside.check_sandbox(false).is_err(), "nor is the setting");
        assert!(inside.check_sandbox(true).is_ok());
    }
}
