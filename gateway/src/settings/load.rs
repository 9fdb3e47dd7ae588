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
