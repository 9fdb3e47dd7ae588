//! `sandbox --once`: the main job from certificates to proof, or one scenario, and its document.

use std::{
    fs,
    path::{Path, PathBuf},
};

use tempfile::TempDir;

use crate::{
    config::KnownTo,
    document::{Document, OrderLine},
    error::SandboxError,
    fleet::BASES,
    journey::Journey,
    platform::{Platform, PlatformOptions},
    progress::Progress,
    scenario::{self, Scenario},
};

/// What to run, and what to leave behind.
#[derive(Debug)]
pub struct OnceOptions {
    /// Leave everything in this directory; it must be empty or absent. Otherwise nothing is left.
    pub keep: Option<PathBuf>,
    /// A scenario of [`scenario::NAMES`] instead of the main job.
    pub scenario: Option<String>,
    /// The program that has `serve`: the gateway is a process of its own.
    pub executable: PathBuf,
    /// Where progress goes.
    pub progress: Progress,
}

/// Runs the main job or a scenario.
///
/// A scenario that did not end as it should is no error: the document says so, and its exit code is 70.
///
/// # Errors
/// [`SandboxError`] by what could not be run at all.
pub async fn run(options: OnceOptions) -> Result<Document, SandboxError> {
    let scenario = match options.scenario {
        Some(name) => Some((scenario::named(&name)?, name)),
        None => None,
    };
    let workplace = Workplace::prepare(options.keep)?;
    let platform_options = PlatformOptions {
        directory: workplace.path().to_owned(),
        executable: options.executable,
        subscribers_per_base: if scenario.is_some() { 2 } else { 1 },
        ses_in_files: workplace.is_kept(),
        known_to: KnownTo::Carrier,
        shared_key_set: matches!(scenario, Some((Scenario::SharedKeySet, _))),
    };
    let progress = &options.progress;
    let mut platform = Platform::start(&platform_options, progress).await?;
    let outcome = match scenario {
        None => main_job(&platform, progress).await,
        Some((scenario, name)) => scenario::run(&name, scenario, &mut platform, progress).await,
    };
    platform.stop().await;
    progress.step("done");
    outcome
}

async fn main_job(platform: &Platform, progress: &Progress) -> Result<Document, SandboxError> {
    let mut document = Document::default();
    for base in BASES {
        for subscriber in platform.subscribers.iter().filter(|it| it.tenant == base.tenant) {
            let journey = Journey::begin(platform, progress, subscriber).await?;
            journey.prepared().await?;
            let (order, signed) = journey.authorized_and_settled(&platform.counter).await?;
            if order.state != "Confirmed" {
                let why = format!("it ended {}", order.standing());
                return Err(SandboxError::proof(&journey.caller_id, why));
            }
            document.proof.push(journey.proved(&order, &signed).await?);
            document.orders.push(OrderLine::from(order));
        }
    }
    complete(&mut document, platform).await?;
    Ok(document)
}

/// Adds the accounts of SEs, TSMs and audit chain.
pub(crate) async fn complete(
    document: &mut Document,
    platform: &Platform,
) -> Result<(), SandboxError> {
    document.ledger = platform.ledgers()?;
    document.tsm = platform.tsm_counts();
    document.audit = platform.audit_head().await?;
    Ok(())
}

/// The directory everything happens in.
#[derive(Debug)]
pub(crate) enum Workplace {
    /// Left behind.
    Kept(PathBuf),
    /// Removed at the end.
    Temporary(TempDir),
}

impl Workplace {
    pub(crate) fn prepare(keep: Option<PathBuf>) -> Result<Workplace, SandboxError> {
        let Some(path) = keep else {
            let temporary = TempDir::with_prefix("madoguchi-sandbox-");
            let directory = temporary.map_err(SandboxError::file(std::env::temp_dir()))?;
            return Ok(Workplace::Temporary(directory));
        };
        fs::create_dir_all(&path).map_err(SandboxError::file(&path))?;
        // The gateway is another process: it must find its files wherever it runs.
        let path = path.canonicalize().map_err(SandboxError::file(&path))?;
        let mut entries = fs::read_dir(&path).map_err(SandboxError::file(&path))?;
        if entries.next().is_some() {
            return Err(SandboxError::KeepNotEmpty { path });
        }
        Ok(Workplace::Kept(path))
    }

    pub(crate) fn path(&self) -> &Path {
        match self {
            Workplace::Kept(path) => path,
            Workplace::Temporary(directory) => directory.path(),
        }
    }

    fn is_kept(&self) -> bool {
        matches!(self, Workplace::Kept(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_in_use_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let kept = directory.path().join("new");
        assert!(Workplace::prepare(Some(kept.clone())).unwrap().is_kept());
        fs::write(kept.join("file"), "mine").unwrap();
        let error = Workplace::prepare(Some(kept.clone())).unwrap_err();
        assert_eq!(error.exit_code(), 78);
        assert_eq!(fs::read_to_string(kept.join("file")).unwrap(), "mine");
    }

    #[test]
    fn a_directory_not_kept_is_gone() {
        let workplace = Workplace::prepare(None).unwrap();
        let path = workplace.path().to_owned();
        assert!(path.is_dir());
        drop(workplace);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn an_unknown_scenario_starts_nothing() {
        let options = OnceOptions {
            keep: None,
            scenario: Some("no-such".to_owned()),
            executable: PathBuf::from("/nonexistent"),
            progress: Progress::silent(),
        };
        assert_eq!(run(options).await.unwrap_err().exit_code(), 2);
    }
}
