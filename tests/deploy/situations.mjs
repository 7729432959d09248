// Series of a healthy installation, and for each alert rule what is different when it fires (`fires`) and when it just does
// not (`calm`). Values are written as promtool reads them: `1x160` is 1 at 161 times, 15 s apart; `0+6x160` rises by 6.

const CP = '{job="offswitch",instance="cp"}';
const GUARD = '{job="offswitch-guard",instance="guard"}';
/** A selector of one process with more labels. */
const at = (process, more) => process.replace("}", `,${more}}`);
const plane = { job: "offswitch", instance: "cp" };
const guard = { job: "offswitch-guard", instance: "guard" };
const always = (value) => `${value}x160`;
/** A counter that rises by `step` every 15 s. */
const rising = (step) => `0+${step}x160`;
/** A counter that shows `count` from the 38th minute on. */
const since = (before, count) => `${before}x151 ${count}x9`;

const FOLLOWERS = `offswitch_followers${at(CP, 'kind="stream"')}`;
const finding = (code) => `offswitch_store_finding${at(CP, `code="${code}"`)}`;
const requests = (status, path = "/v1/feed") =>
  `offswitch_http_requests_total${at(CP, `path="${path}",method="GET",status="${status}"`)}`;
const published = (le) => `offswitch_publish_seconds_bucket${at(CP, `le="${le}"`)}`;
const receiver = (outcome) =>
  `offswitch_receiver_requests_total${at(CP, `issuer="idp",receiver="events",outcome="${outcome}"`)}`;
const polls = (outcome) => `offswitch_polls_total${at(CP, `issuer="idp",outcome="${outcome}"`)}`;
const notices = (outcome) => `offswitch_notices_total${at(CP, `relying_party="shop",outcome="${outcome}"`)}`;
const failures = (code) => `offswitch_client_failures_total${at(GUARD, `code="${code}"`)}`;
const answers = (code) => `offswitch_guard_answers_total${at(GUARD, `code="${code}"`)}`;
const verdicts = (outcome, code) => `offswitch_client_verdicts_total${at(GUARD, `outcome="${outcome}",code="${code}"`)}`;

export const HEALTHY = {
  [`up${CP}`]: always(1),
  [`up${GUARD}`]: always(1),
  [`offswitch_ready${CP}`]: always(1),
  [`offswitch_ready${GUARD}`]: always(1),
  [`offswitch_log_age_seconds${CP}`]: always(1),
  [finding("clocks_differ")]: always(0),
  [`offswitch_entries${CP}`]: always(100),
  [`offswitch_entries_limit${CP}`]: always(1000),
  [`offswitch_base_valid_until_seconds${CP}`]: "60+15x160",
  [published("0.1")]: rising(10),
  [published("+Inf")]: rising(10),
  [FOLLOWERS]: always(30),
  [`offswitch_followers${at(CP, 'kind="long_poll"')}`]: always(40),
  [`offswitch_followers_limit${CP}`]: always(100),
  // A guard that does not relay.
  [`offswitch_followers_limit${GUARD}`]: always(0),
  [`offswitch_connections${CP}`]: always(80),
  [`offswitch_connections_limit${CP}`]: always(100),
  [requests(200)]: rising(100),
  // A probe of a process that stops: not an error of the API.
  [requests(503, "/readyz")]: rising(50),
  [`offswitch_refresh_tokens_reused_total${CP}`]: always(0),
  [`offswitch_lost_sessions_total${CP}`]: always(0),
  [receiver("accepted")]: rising(10),
  [`offswitch_stream_enabled${at(CP, 'issuer="idp"')}`]: always(1),
  [polls("quiet")]: rising(1),
  [`offswitch_notice_delay_seconds${at(CP, 'relying_party="shop"')}`]: always(0),
  [notices("delivered")]: rising(1),
  [`offswitch_client_feed_age_seconds${GUARD}`]: always(2),
  [verdicts("valid", "valid")]: rising(100),
  [answers("valid")]: rising(1000),
  [answers("revoked_user")]: rising(100),
  [`offswitch_guard_watched${GUARD}`]: always(50),
  [`offswitch_guard_watched_limit${GUARD}`]: always(100),
  [`offswitch_guard_callbacks_total${at(GUARD, 'outcome="reported"')}`]: rising(1),
  [`offswitch_guard_reloads_total${at(GUARD, 'outcome="refused"')}`]: always(0),
};

/** One for each rule, in the order of the file. */
export const SITUATIONS = [
  {
    alert: "OffswitchNotScraped", labels: { job: "offswitch" },
    // It was scraped, and then removed from the configuration.
    fires: { [`up${CP}`]: "1x130 stale", [`up${GUARD}`]: always(1) }, calm: { [`up${CP}`]: "1x142 stale" },
  },
  { alert: "OffswitchDown", labels: guard, fires: { [`up${GUARD}`]: since(1, 0) }, calm: { [`up${GUARD}`]: "1x153 0x7" } },
  {
    alert: "OffswitchNotReady", labels: plane,
    fires: { [`offswitch_ready${CP}`]: since(1, 0) }, calm: { [`offswitch_ready${CP}`]: "1x153 0x7" },
  },
  {
    alert: "OffswitchStoreUnavailable", labels: plane,
    // The base gets old too, and that is not reported in addition.
    fires: { [`offswitch_log_age_seconds${CP}`]: "1x150 10+15x9", [`offswitch_base_valid_until_seconds${CP}`]: "60+15x150 2310x9" },
    calm: { [`offswitch_log_age_seconds${CP}`]: always(15) },
  },
  {
    alert: "OffswitchRevocationsAtRisk", labels: { ...plane, code: "follower_ahead" },
    fires: { [finding("follower_ahead")]: always(1) }, calm: { [finding("follower_ahead")]: since(1, 0) },
  },
  {
    alert: "OffswitchClock", labels: { ...plane, code: "clocks_differ" },
    fires: { [finding("clocks_differ")]: always(1) }, calm: { [finding("clocks_differ")]: since(1, 0) },
  },
  {
    alert: "OffswitchStoreFinding", labels: { ...plane, code: "store_may_lose_writes" },
    fires: { [finding("store_may_lose_writes")]: always(1) }, calm: { [finding("store_may_lose_writes")]: since(1, 0) },
  },
  {
    alert: "OffswitchEntriesNearLimit", labels: plane,
    fires: { [`offswitch_entries${CP}`]: always(801) }, calm: { [`offswitch_entries${CP}`]: always(800) },
  },
  {
    alert: "OffswitchBaseNotPublished", labels: plane,
    fires: { [`offswitch_base_valid_until_seconds${CP}`]: always(2000) },
    calm: { [`offswitch_base_valid_until_seconds${CP}`]: always(2400) },
  },
  {
    alert: "OffswitchPublicationSlow", labels: plane,
    fires: { [published("0.1")]: rising(9), [published("2")]: rising(9.8), [published("10")]: rising(10) },
    calm: { [published("0.1")]: rising(9), [published("2")]: rising(9.95), [published("10")]: rising(10) },
  },
  {
    alert: "OffswitchFollowersNearLimit", labels: plane,
    fires: { [FOLLOWERS]: always(51) }, calm: { [FOLLOWERS]: always(50) },
  },
  {
    alert: "OffswitchConnectionsNearLimit", labels: plane,
    fires: { [`offswitch_connections${CP}`]: always(91) }, calm: { [`offswitch_connections${CP}`]: always(90) },
  },
  {
    alert: "OffswitchOverloaded", labels: plane,
    fires: { [`offswitch_connections_refused_total${at(CP, 'reason="too_many_connections"')}`]: rising(1) },
    calm: { [`offswitch_connections_refused_total${at(CP, 'reason="too_many_connections"')}`]: always(7) },
  },
  {
    alert: "OffswitchServerErrors", labels: plane,
    fires: { [requests(503)]: rising(6) }, calm: { [requests(503)]: rising(5) },
  },
  {
    alert: "OffswitchRefreshTokensReused", labels: { job: "offswitch" },
    fires: { [`offswitch_refresh_tokens_reused_total${CP}`]: since(0, 6) },
    calm: { [`offswitch_refresh_tokens_reused_total${CP}`]: since(0, 3) },
  },
  {
    alert: "OffswitchSessionsLost", labels: plane,
    fires: { [`offswitch_lost_sessions_total${CP}`]: since(0, 1) }, calm: { [`offswitch_lost_sessions_total${CP}`]: "0x10 1x150" },
  },
  {
    alert: "OffswitchReceiverUnavailable", labels: { job: "offswitch", issuer: "idp", receiver: "events" },
    fires: { [receiver("unavailable")]: rising(1) }, calm: { [receiver("unavailable")]: always(5) },
  },
  {
    alert: "OffswitchReceiverRefuses", labels: { job: "offswitch", issuer: "idp", receiver: "events" },
    fires: { [receiver("refused")]: rising(11) }, calm: { [receiver("refused")]: rising(9) },
  },
  {
    alert: "OffswitchEventStreamDisabled", labels: { job: "offswitch", issuer: "idp" },
    fires: { [`offswitch_stream_enabled${at(CP, 'issuer="idp"')}`]: always(0) },
    // Another process of the same store sees it enabled.
    calm: {
      [`offswitch_stream_enabled${at(CP, 'issuer="idp"')}`]: always(0),
      [`offswitch_stream_enabled${at(CP.replace("cp", "cp-2"), 'issuer="idp"')}`]: always(1),
    },
  },
  {
    alert: "OffswitchEventPollsFailing", labels: { job: "offswitch", issuer: "idp" },
    fires: { [polls("failed")]: rising(1), [polls("quiet")]: always(9) }, calm: { [polls("failed")]: rising(1) },
  },
  {
    alert: "OffswitchNoticesDelayed", labels: { job: "offswitch", relying_party: "shop" },
    fires: { [`offswitch_notice_delay_seconds${at(CP, 'relying_party="shop"')}`]: always(301) },
    calm: { [`offswitch_notice_delay_seconds${at(CP, 'relying_party="shop"')}`]: always(300) },
  },
  {
    alert: "OffswitchNoticesLost", labels: { job: "offswitch", relying_party: "shop" },
    // The series begins with the first of them.
    fires: { [notices("given_up")]: "_x155 1x5" }, calm: { [notices("given_up")]: always(3) },
  },
  {
    alert: "OffswitchFeedStale", labels: guard,
    fires: { [`offswitch_client_feed_age_seconds${GUARD}`]: always("1e9") },
    calm: { [`offswitch_client_feed_age_seconds${GUARD}`]: always(30) },
  },
  {
    alert: "OffswitchFeedRefused", labels: { ...guard, code: "snapshot_unknown_key" },
    fires: { [failures("snapshot_unknown_key")]: "_x155 1x5" },
    calm: { [failures("snapshot_unknown_key")]: always(1), [failures("feed_unreachable")]: rising(1) },
  },
  {
    alert: "OffswitchVerifierClock", labels: guard,
    fires: { [verdicts("undecided", "clock_skew")]: rising(1) }, calm: { [verdicts("undecided", "clock_skew")]: always(4) },
  },
  {
    alert: "OffswitchKeySetUnreachable", labels: { ...guard, code: "keys_unreachable" },
    fires: { [failures("keys_unreachable")]: rising(1) }, calm: { [failures("keys_unreachable")]: always(4) },
  },
  {
    alert: "OffswitchGuardUndecided", labels: guard,
    fires: { [answers("stale_snapshot")]: rising(12) }, calm: { [answers("stale_snapshot")]: rising(11) },
  },
  {
    alert: "OffswitchGuardWatchesNearLimit", labels: guard,
    fires: { [`offswitch_guard_watched${GUARD}`]: always(91) }, calm: { [`offswitch_guard_watched${GUARD}`]: always(90) },
  },
  {
    alert: "OffswitchGuardCallbacksFailing", labels: { ...guard, outcome: "failed" },
    fires: { [`offswitch_guard_callbacks_total${at(GUARD, 'outcome="failed"')}`]: rising(1) },
    calm: { [`offswitch_guard_callbacks_total${at(GUARD, 'outcome="failed"')}`]: always(2) },
  },
  {
    alert: "OffswitchGuardReloadRefused", labels: { ...guard, outcome: "refused" },
    fires: { [`offswitch_guard_reloads_total${at(GUARD, 'outcome="refused"')}`]: since(0, 1) },
    calm: { [`offswitch_guard_reloads_total${at(GUARD, 'outcome="refused"')}`]: "0x10 1x150" },
  },
];
