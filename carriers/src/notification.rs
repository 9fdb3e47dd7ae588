//! Notifications a carrier's TSM sends the gateway.
