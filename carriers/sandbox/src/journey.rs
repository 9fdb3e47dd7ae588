//! One order's way: placed by the issuer, prepared by the gateway, authorized at the counter, written, proved on the SE.

use std::{fs, sync::Mutex, time::Duration};

use tokio::time::timeout;

use crate::{
    api::{Opened, Order},
    client::CallError,
    counter::Counter,
    document::Proof,
    error::SandboxError,
    fleet::Subscriber,
    issuer::Placed,
    platform::{FIRST_KVN, Platform},
    progress::Progress,
    random,
    reader::Reader,
    token::Defect,
};

/// Longest wait for Prepared.
const PREPARED_TIMEOUT: Duration = Duration::from_secs(60);
/// Longest wait for Confirmed, Parked or another end, doubts resolved on the way included.
const SETTLED_TIMEOUT: Duration = Duration::from_secs(120);
/// Digits of the code an applicant chooses for one visit.
const ACCESS_CODE_DIGITS: usize = 6;

/// An order on its way.
#[derive(Debug)]
pub struct Journey<'a> {
    platform: &'a Platform,
    progress: &'a Progress,
    /// Whose order it is.
    pub subscriber: Subscriber,
    /// The caller's id of the order.
    pub caller_id: String,
    /// What the issuer knows of it.
    pub placed: Placed,
}

/// A visit at the counter that was opened.
#[derive(Debug)]
pub struct Visit {
    /// What `open` answered.
    pub opened: Opened,
    /// The code the applicant chose.
    pub access_code: String,
}

/// A token that was signed for a visit.
#[derive(Debug, Clone)]
pub struct Signed {
    /// The compact JWS.
    pub token: String,
    /// The access code whose hash it carries.
    pub access_code: String,
}

impl<'a> Journey<'a> {
    /// Has the issuer place an order.
    ///
    /// # Errors
    /// [`SandboxError::Call`] if the gateway refuses it.
    pub async fn begin(
        platform: &'a Platform,
        progress: &'a Progress,
        subscriber: &Subscriber,
    ) -> Result<Journey<'a>, SandboxError> {
        let caller_id = format!("{}-order-{}", subscriber.tenant, &subscriber.iccid[12..]);
        progress.step(&format!("{caller_id}: the issuer makes a key pair, seals it and orders"));
        let placed = platform.issuer.place(subscriber, &caller_id).await?;
        Ok(Journey { platform, progress, subscriber: subscriber.clone(), caller_id, placed })
    }

    /// Takes an order up again after the gateway was started anew.
    #[must_use]
    pub fn resume(
        platform: &'a Platform,
        progress: &'a Progress,
        subscriber: &Subscriber,
        caller_id: String,
        placed: Placed,
    ) -> Journey<'a> {
        Journey { platform, progress, subscriber: subscriber.clone(), caller_id, placed }
    }

    /// Waits until the gateway has routed, checked and prepared the order.
    ///
    /// # Errors
    /// [`SandboxError::Deadline`], or [`SandboxError::Proof`] if it ended in another state.
    pub async fn prepared(&self) -> Result<Order, SandboxError> {
        let prepared = |order: &Order| order.state == "Prepared" || order.is_settled();
        let order = self.follow("Prepared", PREPARED_TIMEOUT, prepared).await?;
        if order.state == "Prepared" {
            return Ok(order);
        }
        let why = format!("it is {} before any counter visit", order.standing());
        Err(SandboxError::proof(&self.caller_id, why))
    }

    /// Puts the SE on the counter's reader and opens the visit.
    ///
    /// # Errors
    /// [`SandboxError::Call`] with the code to show.
    pub async fn open(&self, counter: &Counter) -> Result<Visit, SandboxError> {
        let iccid = self.platform.with_se(&self.subscriber, |se| {
            Reader::insert(se, &self.subscriber.iccid).observed_iccid()
        })??;
        self.progress.step(&format!("{}: the counter observes SE {iccid}", self.caller_id));
        let opened = counter.open(&self.placed.id, &iccid).await?;
        Ok(Visit { opened, access_code: random::digits(ACCESS_CODE_DIGITS) })
    }

    /// Has the counter sign what was opened; the token is left in `tokens/`.
    ///
    /// # Errors
    /// [`SandboxError::Jws`], or [`SandboxError::File`] if it cannot be left there.
    pub fn sign(
        &self,
        counter: &Counter,
        visit: &Visit,
        defect: Option<Defect>,
    ) -> Result<Signed, SandboxError> {
        let token = counter.sign(&visit.opened, &visit.access_code, defect)?;
        self.keep("tokens", &token)?;
        Ok(Signed { token, access_code: visit.access_code.clone() })
    }

    /// Presents a token at a counter.
    ///
    /// # Errors
    /// [`CallError::Refused`] with one of the codes T00 to T13.
    pub async fn authorize(&self, counter: &Counter, signed: &Signed) -> Result<(), CallError> {
        self.progress.step(&format!("{}: the counter authorizes", self.caller_id));
        let code = Some(signed.access_code.as_str());
        counter.authorize(&self.placed.id, Some(&signed.token), code).await.map(drop)
    }

    /// Waits until nothing more will happen by itself; a Confirmed order's receipt may follow a moment later.
    ///
    /// # Errors
    /// [`SandboxError::Deadline`].
    pub async fn settled(&self) -> Result<Order, SandboxError> {
        let settled = |order: &Order| {
            order.is_settled() && (order.state != "Confirmed" || order.receipt.is_some())
        };
        self.follow("an end", SETTLED_TIMEOUT, settled).await
    }

    /// The order as it stands.
    ///
    /// # Errors
    /// [`SandboxError::Call`].
    pub async fn order(&self) -> Result<Order, SandboxError> {
        Ok(self.platform.issuer.order(&self.placed.id).await?)
    }

    /// From the visit to the end, without any defect.
    ///
    /// # Errors
    /// [`SandboxError`] by what failed.
    pub async fn authorized_and_settled(
        &self,
        counter: &Counter,
    ) -> Result<(Order, Signed), SandboxError> {
        let visit = self.open(counter).await?;
        let signed = self.sign(counter, &visit, None)?;
        self.authorize(counter, &signed).await?;
        Ok((self.settled().await?, signed))
    }

    /// Judges a Confirmed order: its receipt, the counter's receipt, the key on the SE, the first key set's end.
    ///
    /// # Errors
    /// [`SandboxError::Proof`] saying what is wrong.
    pub async fn proved(&self, order: &Order, signed: &Signed) -> Result<Proof, SandboxError> {
        self.progress.step(&format!("{}: the applet proves the delivered key", self.caller_id));
        let receipt = self.platform.issuer.checked_receipt(order, &signed.token).await?;
        self.keep("receipts", &receipt)?;
        self.check_counter_status().await?;
        let platform = self.platform;
        platform.with_se(&self.subscriber, |se| {
            let mut reader = Reader::insert(se, &self.subscriber.iccid);
            let proof = reader.prove(&platform.service.applet, &self.placed.identity)?;
            if reader.opens(&platform.security_domain, FIRST_KVN)? {
                let why = "the first key set still opens our Security Domain";
                return Err(SandboxError::proof(&self.subscriber.iccid, why));
            }
            Ok(proof)
        })?
    }

    /// The counter sees the end too, and no Key Check Value.
    async fn check_counter_status(&self) -> Result<(), SandboxError> {
        let status = self.platform.counter.status(&self.placed.id).await?;
        let why = match (status.state.as_str(), status.receipt) {
            ("Confirmed", Some(receipt)) if !mentions_check_values(&receipt) => return Ok(()),
            ("Confirmed", Some(_)) => "the counter's receipt carries a Key Check Value".to_owned(),
            ("Confirmed", None) => "the counter gets no receipt".to_owned(),
            (state, _) => format!("the counter sees {state} ({:?})", status.code),
        };
        Err(SandboxError::proof(&self.caller_id, why))
    }

    async fn follow(
        &self,
        what: &str,
        limit: Duration,
        reached: impl Fn(&Order) -> bool,
    ) -> Result<Order, SandboxError> {
        let last = Mutex::new(String::from("nothing"));
        let seen = |order: &Order| {
            let now = order.standing();
            let mut last = last.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            if *last != now {
                self.progress.step(&format!("{}: {now}", self.caller_id));
                *last = now;
            }
        };
        let followed = self.platform.issuer.follow(&self.placed.id, seen, reached);
        match timeout(limit, followed).await {
            Ok(order) => Ok(order?),
            Err(_) => Err(SandboxError::Deadline {
                what: format!("{what} of order {}", self.caller_id),
                waited_s: limit.as_secs(),
                last: last.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner),
            }),
        }
    }

    fn keep(&self, directory: &str, jws: &str) -> Result<(), SandboxError> {
        let path = self.platform.directory.join(directory).join(format!("{}.jws", self.caller_id));
        fs::write(&path, jws).map_err(SandboxError::file(&path))
    }
}

/// Whether a receipt's payload has a member `kcv` anywhere.
fn mentions_check_values(receipt: &str) -> bool {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
    let payload = receipt.split('.').nth(1).and_then(|part| URL_SAFE_NO_PAD.decode(part).ok());
    payload.is_none_or(|payload| String::from_utf8_lossy(&payload).contains("\"kcv\""))
}
