//! Notifications a carrier's TSM sends the gateway.
//!
//! Notification functions are idempotent by FunctionCallIdentifier: the same identifier again is the same notification, and gets the
//! same acknowledgement. The identifier, optional in the standard, is required here for that reason.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use thiserror::Error;

use crate::{
    identifier::{CallId, SeId},
    json::messages::{Call, ExecutionStatus, Nothing, Reply},
    limits::NOTIFICATION_MAX_BYTES,
};

/// Functions a carrier may call, as they appear in the path.
pub const FUNCTIONS: [&str; 4] =
    [SE_RENEWAL, SE_DEVICE_CHANGED, SE_STATUS_CHANGE, MOBILE_SUBSCRIPTION_STATUS_CHANGE];

const SE_RENEWAL: &str = "HandleSERenewalNotification";
const SE_DEVICE_CHANGED: &str = "HandleSEDeviceChangedNotification";
const SE_STATUS_CHANGE: &str = "HandleSEStatusChangeNotification";
const MOBILE_SUBSCRIPTION_STATUS_CHANGE: &str = "HandleMobileSubscriptionStatusChangeNotification";

/// One notification.
#[derive(Debug, Clone, PartialEq)]
pub struct Notification {
    /// FunctionCallIdentifier: the idempotence key.
    pub call: CallId,
    /// What happened.
    pub event: Event,
    /// Extensions, as they came.
    pub extensions: Vec<Value>,
}

/// What a carrier reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// HandleSERenewalNotification.
    SeRenewal(SeRenewal),
    /// HandleSEDeviceChangedNotification.
    SeDeviceChanged(SeDeviceChanged),
    /// HandleSEStatusChangeNotification.
    SeStatusChange(SeStatusChange),
    /// HandleMobileSubscriptionStatusChangeNotification.
    MobileSubscriptionStatusChange(MobileSubscriptionStatusChange),
}

/// A secure element was replaced; the old one is no longer alive and accessible.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct SeRenewal {
    /// The one before.
    pub old_secure_element: SeId,
    /// The one from now on.
    pub new_secure_element: SeId,
}

/// A secure element sits in another device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct SeDeviceChanged {
    /// The secure element.
    pub secure_element: SeId,
    /// Its subscription.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mobile_subscription: Option<MobileSubscription>,
    /// What the device before could do.
    pub old_device_capability_profile_id: String,
    /// What the device can do now.
    pub new_device_capability_profile_id: String,
}

/// A secure element changed its status at the carrier.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct SeStatusChange {
    /// The secure element.
    pub secure_element: SeId,
    /// The carrier's word for it: words differ between carriers and are kept as given.
    pub new_status: String,
    /// Code, as the carrier numbers it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<i64>,
}

/// A subscription changed its status.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct MobileSubscriptionStatusChange {
    /// The subscription.
    pub mobile_subscription: MobileSubscription,
    /// When, as the carrier writes time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub date: Option<String>,
    /// Its status from then on.
    pub new_status: SubscriptionStatus,
    /// Code, as the carrier numbers it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<i64>,
}

/// Status of a subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum SubscriptionStatus {
    /// Barred for now.
    Suspended,
    /// In service.
    Activated,
    /// In service with limits.
    Restricted,
    /// Ended.
    Terminated,
}

/// A subscription by its number. A telephone number is personal data: it is never printed.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum MobileSubscription {
    /// Telephone number.
    #[serde(rename = "MSId_MSISDN")]
    Msisdn(String),
    /// The carrier's own identifier of the subscription.
    #[serde(rename = "MSId_Generic")]
    Generic(String),
}

impl fmt::Debug for MobileSubscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MobileSubscription(..)")
    }
}

/// A notification that cannot be taken.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum NotificationError {
    /// Not one of [`FUNCTIONS`].
    #[error("no notification function of this name")]
    UnknownFunction,
    /// Larger than allowed.
    #[error("a notification has at most {NOTIFICATION_MAX_BYTES} bytes")]
    TooLarge,
    /// Not the JSON of this function; says where, never what.
    #[error("the message is not of the function's form (line {line}, column {column})")]
    Form {
        /// Line, from 1; 0 when a member is at fault.
        line: usize,
        /// Column, from 1; 0 when a member is at fault.
        column: usize,
    },
}

impl Notification {
    /// Reads the body of a call of `function`.
    ///
    /// # Errors
    /// An unknown function, a body too large or not of the function's form.
    pub fn parse(function: &str, body: &[u8]) -> Result<Notification, NotificationError> {
        if body.len() > NOTIFICATION_MAX_BYTES {
            return Err(NotificationError::TooLarge);
        }
        match function {
            SE_RENEWAL => read(body, Event::SeRenewal),
            SE_DEVICE_CHANGED => read(body, Event::SeDeviceChanged),
            SE_STATUS_CHANGE => read(body, Event::SeStatusChange),
            MOBILE_SUBSCRIPTION_STATUS_CHANGE => read(body, Event::MobileSubscriptionStatusChange),
            _ => Err(NotificationError::UnknownFunction),
        }
    }

    /// The function that carries it.
    pub fn function(&self) -> &'static str {
        match self.event {
            Event::SeRenewal(_) => SE_RENEWAL,
            Event::SeDeviceChanged(_) => SE_DEVICE_CHANGED,
            Event::SeStatusChange(_) => SE_STATUS_CHANGE,
            Event::MobileSubscriptionStatusChange(_) => MOBILE_SUBSCRIPTION_STATUS_CHANGE,
        }
    }

    /// The body of the call, as a TSM sends it.
    ///
    /// # Errors
    /// None in practice: every event is a JSON object.
    pub fn encode(&self) -> Result<Vec<u8>, serde_json::Error> {
        match &self.event {
            Event::SeRenewal(event) => self.write(event),
            Event::SeDeviceChanged(event) => self.write(event),
            Event::SeStatusChange(event) => self.write(event),
            Event::MobileSubscriptionStatusChange(event) => self.write(event),
        }
    }

    fn write<T: Serialize + Clone>(&self, event: &T) -> Result<Vec<u8>, serde_json::Error> {
        let extensions = self.extensions.clone();
        Call { extensions, ..Call::new(self.call.clone(), event.clone()) }.encode()
    }
}

/// The answer to a notification taken.
///
/// # Errors
/// None in practice.
pub fn acknowledgement() -> Result<Vec<u8>, serde_json::Error> {
    Reply::<Nothing>::new(ExecutionStatus::success(), None).encode()
}

fn read<T: for<'de> Deserialize<'de>>(
    body: &[u8],
    event: impl FnOnce(T) -> Event,
) -> Result<Notification, NotificationError> {
    let form = |error: serde_json::Error| NotificationError::Form {
        line: error.line(),
        column: error.column(),
    };
    let call = Call::<T>::decode(body).map_err(form)?;
    Ok(Notification { call: call.identifier, event: event(call.body), extensions: call.extensions })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn se() -> SeId {
        SeId::iccid("8981100000000000018").unwrap()
    }

    fn subscription() -> MobileSubscription {
        MobileSubscription::Msisdn("819012345678".into())
    }

    fn events() -> Vec<Event> {
        vec![
            Event::SeRenewal(SeRenewal {
                old_secure_element: se(),
                new_secure_element: SeId::iccid("8981100000000000026").unwrap(),
            }),
            Event::SeDeviceChanged(SeDeviceChanged {
                secure_element: se(),
                mobile_subscription: Some(subscription()),
                old_device_capability_profile_id: "phone-1".into(),
                new_device_capability_profile_id: "phone-2".into(),
            }),
            Event::SeStatusChange(SeStatusChange {
                secure_element: se(),
                new_status: "LOST".into(),
                reason: Some(2),
            }),
            Event::MobileSubscriptionStatusChange(MobileSubscriptionStatusChange {
                mobile_subscription: subscription(),
                date: None,
                new_status: SubscriptionStatus::Terminated,
                reason: None,
            }),
        ]
    }

    #[test]
    fn every_notification_reads_back_under_its_function_alone() {
        for event in events() {
            let sent = Notification {
                call: CallId::new("n-1").unwrap(),
                event,
                extensions: vec![serde_json::json!({"vendor": true})],
            };
            let body = sent.encode().unwrap();
            for function in FUNCTIONS {
                let read = Notification::parse(function, &body);
                assert_eq!(read.as_ref() == Ok(&sent), function == sent.function(), "{read:?}");
            }
        }
    }

    #[test]
    fn without_a_call_identifier_nothing_is_taken() {
        let body = br#"{"SecureElement":{"SEId_ICCID":"8981100000000000018"},"NewStatus":"LOST"}"#;
        let refused = Notification::parse(SE_STATUS_CHANGE, body);
        assert!(matches!(refused, Err(NotificationError::Form { .. })));
    }

    #[test]
    fn unknown_large_and_doubled_are_refused() {
        assert_eq!(Notification::parse("Reset", b"{}"), Err(NotificationError::UnknownFunction));
        let large = vec![b' '; NOTIFICATION_MAX_BYTES + 1];
        assert_eq!(Notification::parse(SE_RENEWAL, &large), Err(NotificationError::TooLarge));
        let doubled = br#"{"FunctionCallIdentifier":"a","FunctionCallIdentifier":"b"}"#;
        let refused = Notification::parse(SE_RENEWAL, doubled);
        assert!(matches!(refused, Err(NotificationError::Form { .. })));
    }

    #[test]
    fn telephone_numbers_are_not_printed() {
        assert!(!format!("{:?}", events()).contains("8190"));
    }

    #[test]
    fn the_acknowledgement_is_a_success() {
        let reply = Reply::<Nothing>::decode(&acknowledgement().unwrap()).unwrap();
        assert_eq!(reply.status, ExecutionStatus::success());
    }
}
