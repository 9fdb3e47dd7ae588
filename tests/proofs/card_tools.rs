//! Ordinary card tools accept the virtual SE: through pcscd and Debian's virtual reader, as any card.

use std::{
    net::TcpListener,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use tests::madoguchi;

/// A process that ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Debian's vpcd listens here for the first virtual reader.
const VPCD: &str = "127.0.0.1:35963";

#[test]
#[ignore = "needs pcscd, opensc and vsmartcard-vpcd; tests/run installs and runs it"]
fn opensc_talks_to_the_virtual_se_through_pcscd() {
    std::fs::create_dir_all("/run/pcscd").expect("the daemon's folder");
    let _daemon = Running(
        Command::new("pcscd")
            .args(["--foreground", "--force-reader-polling"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("pcscd starts"),
    );
    wait_for("vpcd", || TcpListener::bind(VPCD).is_err());
    let _card = Running(
        Command::new(madoguchi())
            .args(["sandbox", "se", "serve", "--vpcd", VPCD])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the virtual SE starts"),
    );
    let mut answer = String::new();
    wait_for("the card in the reader", || {
        answer = opensc(&["--reader", "0", "--card-driver", "default", "-s", "00:A4:04:00:00"]);
        answer.contains("SW1=0x90, SW2=0x00")
    });
    assert!(answer.contains("A0 00 00 01 51 00 00 00"), "the ISD answers SELECT: {answer}");
    let cplc = opensc(&["--reader", "0", "--card-driver", "default", "-s", "80:CA:9F:7F:00"]);
    assert!(cplc.contains("SW1=0x90, SW2=0x00"), "GET DATA 9F7F: {cplc}");
    let refused =
        opensc(&["--reader", "0", "--card-driver", "default", "-s", "80:F2:80:02:02:4F:00:00"]);
    assert!(refused.contains("SW1=0x69"), "GET STATUS needs a session: {refused}");
}

fn opensc(arguments: &[&str]) -> String {
    let output = Command::new("opensc-tool").args(arguments).output().expect("opensc-tool runs");
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

fn wait_for(what: &str, mut ready: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !ready() {
        assert!(Instant::now() < end, "{what} did not come");
        thread::sleep(Duration::from_millis(100));
    }
}
