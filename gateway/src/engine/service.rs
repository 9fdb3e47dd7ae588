//! The services this node delivers, with what is loaded onto an SE for each.

use std::{collections::HashMap, path::Path, sync::Arc};

use scp::{ServiceProfile, cap::Cap};

use crate::settings::Service;

/// Largest CAP file taken.
const CAP_MAX_BYTES: u64 = 1_048_576;

/// A service ready to be delivered.
pub struct LoadedService {
    /// AIDs, public values and probe.
    pub profile: ServiceProfile,
    /// The Load File Data Block of its CAP file.
    pub load_file_data_block: Vec<u8>,
}

/// Every service by its name.
#[derive(Default)]
pub struct Services(HashMap<String, Arc<LoadedService>>);

/// A service that cannot be delivered as configured.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// Its CAP file cannot be read.
    #[error("the CAP file {path} of service {service} cannot be read: {detail}")]
    Unreadable {
        /// The service.
        service: String,
        /// The file.
        path: String,
        /// What the operating system said.
        detail: String,
    },
    /// It is no CAP file this node takes.
    #[error("{path} is no CAP file this node can load: {detail}")]
    Cap {
        /// The file.
        path: String,
        /// What is wrong with it.
        detail: String,
    },
    /// It is the CAP file of something else.
    #[error("{path} holds {found}, the service profile says {expected}")]
    OtherAid {
        /// The file.
        path: String,
        /// AID in the file.
        found: String,
        /// AID in the profile.
        expected: String,
    },
}

impl Services {
    /// Reads every configured service's CAP file.
    ///
    /// # Errors
    /// [`ServiceError`] names the file and what is wrong with it.
    pub fn load(settings: &[Service]) -> Result<Services, ServiceError> {
        let loaded: Result<HashMap<_, _>, _> = settings
            .iter()
            .map(|service| Ok((service.profile.name.clone(), Arc::new(load(service)?))))
            .collect();
        loaded.map(Services)
    }

    /// Whether an application of this AID belongs to a service of this node.
    pub fn has_applet(&self, applet: scp::Aid) -> bool {
        self.0.values().any(|service| service.profile.applet == applet)
    }

    /// The service of this name.
    pub fn get(&self, name: &str) -> Option<Arc<LoadedService>> {
        self.0.get(name).cloned()
    }
}

fn load(service: &Service) -> Result<LoadedService, ServiceError> {
    let path = service.cap_file.display().to_string();
    let bytes = read(&service.cap_file).map_err(|error| ServiceError::Unreadable {
        service: service.profile.name.clone(),
        path: path.clone(),
        detail: error.to_string(),
    })?;
    let cap = Cap::parse(&bytes)
        .map_err(|error| ServiceError::Cap { path: path.clone(), detail: error.to_string() })?;
    if cap.load_file() != service.profile.load_file {
        return Err(ServiceError::OtherAid {
            path,
            found: cap.load_file().to_string(),
            expected: service.profile.load_file.to_string(),
        });
    }
    Ok(LoadedService {
        profile: service.profile.clone(),
        load_file_data_block: cap.load_file_data_block(),
    })
}

fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    let size = std::fs::metadata(path)?.len();
    if size > CAP_MAX_BYTES {
        return Err(std::io::Error::other(format!("larger than {CAP_MAX_BYTES} bytes")));
    }
    std::fs::read(path)
}
