//! Connections and quorum as JSON.

use std::time::Duration;

use serde_json::{Value, json};
use uo2cb_core::net::{PeerPhase, PeerStatus};
use uo2cb_core::quorum::{Hold, QuorumStatus};
use uo2cb_core::{ClusterStatus, Instant, NodeNum, NodeSet, Status};

use super::super::clock::utc;
use super::regions::ms;

/// When something was: by the monitor's clock, and by that on the wall.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    pub(super) now: Instant,
    pub(super) unix: Duration,
}

impl Moment {
    fn ago(self, at: Instant) -> u64 {
        ms(self.now.since(at))
    }

    fn utc(self, at: Instant) -> String {
        utc(self.unix.saturating_sub(self.now.since(at)))
    }
}

/// The connections of a node that listens.
pub(super) fn net(status: &Status, moment: Moment) -> Value {
    let peers: Vec<_> =
        status.peers.iter().map(|peer| connection(peer, status.cluster.as_ref(), moment)).collect();
    json!({"listens": status.listens, "peers": peers})
}

fn connection(peer: &PeerStatus, cluster: Option<&ClusterStatus>, moment: Moment) -> Value {
    let idle = cluster.map(|cluster| cluster.idle_timeout);
    let silent = peer.heard.map(|heard| moment.now.since(heard));
    json!({
        "num": peer.num.get(),
        "name": name(cluster, peer.num),
        "phase": word(peer.phase),
        "made": peer.made,
        "port": peer.port,
        "since": peer.since.map(|since| moment.utc(since)),
        "heard_ms_ago": silent.map(ms),
        "idle_timeout_ms": idle.map(ms),
        "decision_in_ms": peer.still_up.map(|at| ms(at.since(moment.now))),
        "waiting": peer.requests,
        "sent": peer.counters.sent,
        "received": peer.counters.received,
        "warning": warning(peer, idle, silent),
    })
}

/// What somebody should look at, before more comes of it.
fn warning(peer: &PeerStatus, idle: Option<Duration>, silent: Option<Duration>) -> Option<String> {
    match peer.phase {
        PeerPhase::Silent | PeerPhase::Connected => {
            let (idle, silent) = (idle?, silent?);
            (silent > idle / 2).then(|| {
                format!("silent for {} ms of {} ms idle timeout", silent.as_millis(), idle.as_millis())
            })
        }
        PeerPhase::Lost => Some("the connection was lost, or refused".to_owned()),
        PeerPhase::None | PeerPhase::Connecting | PeerPhase::Handshake => None,
    }
}

fn word(phase: PeerPhase) -> &'static str {
    match phase {
        PeerPhase::None => "none",
        PeerPhase::Connecting => "connecting",
        PeerPhase::Handshake => "handshake",
        PeerPhase::Connected => "connected",
        PeerPhase::Silent => "silent",
        PeerPhase::Lost => "lost",
    }
}

fn name(cluster: Option<&ClusterStatus>, num: NodeNum) -> Option<String> {
    let node = cluster?.nodes.iter().find(|node| node.num == Some(num))?;
    Some(node.name.to_string())
}

/// Quorum; null where there is none.
pub(super) fn quorum(status: &Status, moment: Moment) -> Value {
    let Some(QuorumStatus { heartbeating, connected, holds, pending, decided }) = &status.quorum else {
        return Value::Null;
    };
    let numbers = |set: &NodeSet| set.iter().map(NodeNum::get).collect::<Vec<_>>();
    let hold = |hold: &Hold| {
        json!({
            "num": hold.node.get(),
            "name": name(status.cluster.as_ref(), hold.node),
            "for_ms": moment.ago(hold.since),
            "why": hold.why.to_string(),
        })
    };
    let decided = decided.as_ref().map(|(at, decision)| {
        json!({"time": moment.utc(*at), "fences": decision.fences(), "text": decision.to_string()})
    });
    json!({
        "heartbeating": numbers(heartbeating),
        "connected": numbers(connected),
        "holds": holds.iter().map(hold).collect::<Vec<_>>(),
        "pending": pending,
        "decided": decided,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use uo2cb_core::net::Counters;

    fn at(ms: u64) -> Instant {
        Instant::at(Duration::from_millis(ms))
    }

    fn peer(phase: PeerPhase) -> PeerStatus {
        PeerStatus {
            num: NodeNum::new(2).unwrap(),
            phase,
            made: Some(true),
            since: Some(at(1000)),
            heard: Some(at(7400)),
            idle_since: Some(at(7400)),
            port: Some(40_000),
            inbox: 0,
            still_up: None,
            requests: 0,
            counters: Counters::default(),
        }
    }

    #[test]
    fn a_peer_that_is_silent_for_half_of_its_time_is_warned_of() {
        let idle = Some(Duration::from_secs(5));
        let warned = |phase, silent| warning(&peer(phase), idle, Some(Duration::from_millis(silent)));
        assert_eq!(warned(PeerPhase::Connected, 2500), None);
        assert_eq!(warned(PeerPhase::Connected, 2501).unwrap(), "silent for 2501 ms of 5000 ms idle timeout");
        assert_eq!(warned(PeerPhase::Connecting, 9000), None);
        assert!(warned(PeerPhase::Lost, 0).is_some());
    }

    #[test]
    fn a_connection() {
        let moment = Moment { now: at(8000), unix: Duration::from_secs(100) };
        let shown = connection(&peer(PeerPhase::Connected), None, moment);
        let expected = json!({"num": 2, "name": null, "phase": "connected", "made": true, "port": 40_000,
            "since": "1970-01-01T00:01:33.000Z", "heard_ms_ago": 600, "idle_timeout_ms": null,
            "decision_in_ms": null, "waiting": 0, "sent": 0, "received": 0, "warning": null});
        assert_eq!(shown, expected);
    }
}
