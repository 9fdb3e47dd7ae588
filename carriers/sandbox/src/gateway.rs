//! The gateway as a child process: started, killed for real, started again; ended when dropped.

use std::{
    fs::{self, File, OpenOptions},
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use tokio::{
    process::{Child, Command},
    time::{Instant, sleep, timeout},
};

use crate::error::SandboxError;

/// Longest wait for the address file.
const START_TIMEOUT: Duration = Duration::from_secs(60);
/// Longest wait for an orderly end; what is left then is killed.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(15);
/// Between two looks at the address file, which another process writes.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);
/// How much of the log an error shows.
const LOG_TAIL_BYTES: usize = 4096;
/// Variables that would be settings of the child.
const SETTINGS_PREFIX: &str = "MADOGUCHI__";

/// What the child is started with.
#[derive(Debug, Clone)]
pub struct GatewayFiles {
    /// The program, which has `serve`.
    pub executable: PathBuf,
    /// Its configuration.
    pub config: PathBuf,
    /// Where it writes its address once it is ready.
    pub address: PathBuf,
    /// Where its stdout and stderr go, appended.
    pub log: PathBuf,
}

/// A running gateway.
#[derive(Debug)]
pub struct Gateway {
    files: GatewayFiles,
    child: Child,
    address: String,
}

impl Gateway {
    /// Starts the child and waits until it says where it listens.
    ///
    /// # Errors
    /// [`SandboxError::GatewayStart`] with the end of its log.
    pub async fn start(files: GatewayFiles) -> Result<Gateway, SandboxError> {
        let (child, address) = spawn(&files).await?;
        Ok(Gateway { files, child, address })
    }

    /// `https://` and the address it listens on.
    #[must_use]
    pub fn base_url(&self) -> String {
        format!("https://{}", self.address)
    }

    /// The address it listens on.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Kills it without warning (SIGKILL) and waits until it is gone.
    ///
    /// # Errors
    /// [`SandboxError::File`] with what the system said.
    pub async fn kill(&mut self) -> Result<(), SandboxError> {
        self.child.kill().await.map_err(SandboxError::file(&self.files.executable))
    }

    /// Starts it again after [`Gateway::kill`], on the same store.
    ///
    /// # Errors
    /// [`SandboxError::GatewayStart`] with the end of its log.
    pub async fn restart(&mut self) -> Result<(), SandboxError> {
        (self.child, self.address) = spawn(&self.files).await?;
        Ok(())
    }

    /// Asks it to drain and end (SIGTERM); kills it if it does not.
    pub async fn stop(mut self) {
        if let Some(id) = self.child.id() {
            // The standard library sends no signal but SIGKILL, and unsafe code is not allowed here.
            let asked = Command::new("kill")
                .args(["-TERM", &id.to_string()])
                .stderr(Stdio::null())
                .status();
            let ended = asked.await.is_ok_and(|status| status.success())
                && timeout(DRAIN_TIMEOUT, self.child.wait()).await.is_ok();
            if !ended {
                // Nothing is left to do if even that fails: the child is dropped next.
                drop(self.child.kill().await);
            }
        }
    }
}

async fn spawn(files: &GatewayFiles) -> Result<(Child, String), SandboxError> {
    if files.address.exists() {
        fs::remove_file(&files.address).map_err(SandboxError::file(&files.address))?;
    }
    let log = OpenOptions::new()
        .create(true)
        .append(true)
        .open(&files.log)
        .map_err(SandboxError::file(&files.log))?;
    let mut child = command(files, log).spawn().map_err(SandboxError::file(&files.executable))?;
    let deadline = Instant::now() + START_TIMEOUT;
    loop {
        let address = fs::read_to_string(&files.address).unwrap_or_default();
        if !address.trim().is_empty() {
            return Ok((child, address.trim().to_owned()));
        }
        let ended = child.try_wait().map_err(SandboxError::file(&files.executable))?;
        let reason = match ended {
            Some(status) => format!("it ended with {status}"),
            None if Instant::now() > deadline => "it said no address in time".to_owned(),
            None => {
                sleep(LOOK_INTERVAL).await;
                continue;
            }
        };
        return Err(SandboxError::GatewayStart { reason, log: tail(&files.log) });
    }
}

fn command(files: &GatewayFiles, log: File) -> Command {
    let mut command = Command::new(&files.executable);
    command.arg("serve").arg("--config").arg(&files.config).arg("--sandbox").kill_on_drop(true);
    command.stdin(Stdio::null());
    match log.try_clone() {
        Ok(copy) => command.stdout(copy),
        Err(_) => command.stdout(Stdio::null()),
    };
    command.stderr(log);
    // The desk's own settings are for its real nodes.
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with(SETTINGS_PREFIX) {
            command.env_remove(name);
        }
    }
    command
}

fn tail(log: &Path) -> String {
    let bytes = fs::read(log).unwrap_or_default();
    let start = bytes.len().saturating_sub(LOG_TAIL_BYTES);
    String::from_utf8_lossy(&bytes[start..]).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(directory: &Path, script: &str) -> GatewayFiles {
        // Written by another process: were it open for writing here, a child that another test forks at that moment would hold it
        // open too, and it could not be started ("text file busy").
        let executable = directory.join("program");
        let written = std::process::Command::new("sh")
            .args(["-c", "printf %s \"$1\" > \"$0\" && chmod 755 \"$0\""])
            .arg(&executable)
            .arg(script)
            .status();
        assert!(written.unwrap().success());
        GatewayFiles {
            executable,
            config: directory.join("config"),
            address: directory.join("address"),
            log: directory.join("log"),
        }
    }

    #[tokio::test]
    async fn a_child_that_ends_early_is_told_with_its_log() {
        let directory = tempfile::tempdir().unwrap();
        let files = files(directory.path(), "#!/bin/sh\necho no such key >&2\nexit 78\n");
        let error = Gateway::start(files).await.unwrap_err().to_string();
        assert!(error.contains("78") && error.contains("no such key"), "{error}");
    }

    #[tokio::test]
    async fn it_is_killed_started_again_and_stopped() {
        let directory = tempfile::tempdir().unwrap();
        let address = directory.path().join("address");
        let script = format!(
            "#!/bin/sh\ntrap 'exit 0' TERM\necho $$ >> {pids}\necho 127.0.0.1:$$ > {address}\n\
             while :; do sleep 0.05; done\n",
            pids = directory.path().join("pids").display(),
            address = address.display(),
        );
        let mut gateway = Gateway::start(files(directory.path(), &script)).await.unwrap();
        let first = gateway.base_url();
        assert!(first.starts_with("https://127.0.0.1:"));
        gateway.kill().await.unwrap();
        gateway.restart().await.unwrap();
        assert_ne!(gateway.base_url(), first);
        gateway.stop().await;
        assert_eq!(fs::read_to_string(directory.path().join("pids")).unwrap().lines().count(), 2);
    }
}
