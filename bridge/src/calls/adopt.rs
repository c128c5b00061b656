//! Native threads for threads that the library made and that call back.

use super::lane::HostLane;
use super::process::without_signals;
use super::worker::Worker;
use iotdec_wire::lane::{End, Kind, Mail, Request};
use std::io;
use std::sync::Arc;
use std::thread::Builder;
use std::time::Duration;

/// Starts the thread that serves the reverse lane.
pub(crate) fn start(worker: &Arc<Worker>, reverse: usize) -> io::Result<()> {
    let weak = Arc::downgrade(worker);
    let over = worker.over_flag();
    let exchange = worker.exchange;
    without_signals(|| {
        Builder::new().name("iotdec-adopt".into()).spawn(move || {
            let lane = exchange.exchange.lane(reverse);
            let mut end = End::default();
            let nap = || Some(Duration::from_secs(60));
            let over = || over.is_set();
            while let Some(mail) = end.wait(&lane.to_host, &lane.host_bell.0, over, nap) {
                let Some(worker) = weak.upgrade() else { return };
                let asks = (mail.kind, mail.index) == (Kind::Request.code(), Request::Adopt.code());
                let number = asks.then(|| adopt(&worker)).flatten();
                drop(worker);
                let kind = number.map_or(Kind::Refused, |_| Kind::Return);
                let mail = Mail {
                    kind: kind.code(),
                    target: number.unwrap_or(0) as u64,
                    ..Mail::default()
                };
                end.post(&lane.to_guest, &lane.guest_bell.0, &mail);
            }
        })
    })?;
    Ok(())
}

/// Starts a thread for one of the library's; the number of their lane.
fn adopt(worker: &Arc<Worker>) -> Option<usize> {
    let number = worker.take_lane()?;
    let served = worker.clone();
    let thread = Builder::new().name("iotdec-callback".into());
    thread
        .spawn(move || HostLane::serve_adopted(served, number))
        .is_ok()
        .then_some(number)
}
