//! What providers document about their webhooks: how they are authenticated, and where their events
//! have what they revoke.

use std::collections::BTreeMap;

use super::webhook::{Webhook, WebhookEvent};
use super::webhook_signature::Scheme;

/// The names of the presets, for a message.
pub(super) const NAMES: &str = "auth0, clerk, okta, stytch, supabase or workos";

/// What is known about a provider.
pub(super) fn preset_of(name: &str) -> Option<Webhook> {
    match name {
        "auth0" => Some(auth0()),
        "clerk" => Some(clerk()),
        "okta" => Some(okta()),
        "stytch" => Some(stytch()),
        "supabase" => Some(supabase()),
        "workos" => Some(workos()),
        _ => None,
    }
}

/// A log stream of the kind "Custom Webhook": many events in a request, as an array or in lines.
/// Access tokens have no session id, so that a logout concerns the user.
/// <https://auth0.com/docs/customize/log-streams/custom-log-streams>,
/// <https://github.com/auth0/auth0-log-schemas> (`slo`, `sdu`, `scp`)
fn auth0() -> Webhook {
    Webhook {
        signature: Some(bearer()),
        events_pointer: Some(String::new()),
        type_pointers: pointers(&["/data/type"]),
        time_pointer: Some("/data/date".to_owned()),
        events: users("/data/user_id", &["scp", "sdu", "slo"]),
        ..Webhook::default()
    }
}

/// Sent by Svix. <https://clerk.com/docs/guides/development/webhooks/overview>
fn clerk() -> Webhook {
    let ends = ["session.ended", "session.removed", "session.revoked"];
    let mut events = sessions("/data/id", &ends);
    events.append(&mut users("/data/id", &["user.deleted"]));
    Webhook { signature: Some(Scheme::Standard), events, ..Webhook::default() }
}

/// Event hooks: many events in a request, and a question before the first one. Access tokens have no
/// session id, so that a logout concerns the user.
/// <https://developer.okta.com/docs/concepts/event-hooks/>,
/// <https://developer.okta.com/docs/reference/api/event-types/>
fn okta() -> Webhook {
    let mut events = users("/actor/id", &["user.session.end"]);
    let by_others = [
        "user.account.reset_password",
        "user.account.update_password",
        "user.lifecycle.deactivate",
        "user.lifecycle.delete.initiated",
        "user.lifecycle.suspend",
        "user.session.clear",
    ];
    events.append(&mut users("/target/0/id", &by_others));
    Webhook {
        signature: Some(bearer()),
        events_pointer: Some("/data/events".to_owned()),
        type_pointers: pointers(&["/eventType"]),
        time_pointer: Some("/published".to_owned()),
        challenge_header: Some("x-okta-verification-challenge".to_owned()),
        events,
        ..Webhook::default()
    }
}

/// Sent by Svix. No event says that a session has ended.
/// <https://stytch.com/docs/b2b/guides/webhooks>
fn stytch() -> Webhook {
    Webhook {
        signature: Some(Scheme::Standard),
        type_pointers: pointers(&["/object_type", "/action"]),
        events: users("/id", &["member.DELETE", "user.DELETE"]),
        ..Webhook::default()
    }
}

/// Database webhooks on `auth.sessions` and `auth.users`; they are not signed. No Auth hook is called
/// when a session ends or a user is deleted.
/// <https://supabase.com/docs/guides/database/webhooks>, <https://supabase.com/docs/guides/auth/auth-hooks>
fn supabase() -> Webhook {
    let mut events = sessions("/old_record/id", &["auth.sessions.DELETE"]);
    events.append(&mut users("/old_record/id", &["auth.users.DELETE"]));
    Webhook {
        signature: Some(bearer()),
        type_pointers: pointers(&["/schema", "/table", "/type"]),
        events,
        ..Webhook::default()
    }
}

/// <https://workos.com/docs/events/data-syncing/webhooks>
fn workos() -> Webhook {
    let mut events = sessions("/data/id", &["session.revoked"]);
    events.append(&mut users("/data/id", &["user.deleted"]));
    Webhook {
        signature: Some(Scheme::Stamped { header: "workos-signature".to_owned() }),
        type_pointers: pointers(&["/event"]),
        events,
        ..Webhook::default()
    }
}

/// The secret itself, in the header that the operator sets at the provider.
fn bearer() -> Scheme {
    Scheme::Shared { header: "authorization".to_owned(), prefix: "Bearer ".to_owned() }
}

fn pointers(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

fn sessions(pointer: &str, kinds: &[&str]) -> BTreeMap<String, WebhookEvent> {
    let event = WebhookEvent { session: Some(pointer.to_owned()), user: None };
    kinds.iter().map(|kind| ((*kind).to_owned(), event.clone())).collect()
}

fn users(pointer: &str, kinds: &[&str]) -> BTreeMap<String, WebhookEvent> {
    let event = WebhookEvent { session: None, user: Some(pointer.to_owned()) };
    kinds.iter().map(|kind| ((*kind).to_owned(), event.clone())).collect()
}
