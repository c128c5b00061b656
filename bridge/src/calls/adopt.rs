//! What the library's process asks for: native threads for threads that the library made and
//! that call back, and what only the program's heap can do.

use super::exchange::SharedLane;
use super::heap::{free_for_guest, usable_size_for_guest};
use super::lane::HostLane;
use super::process::without_signals;
use super::worker::Worker;
use iotdec_wire::lane::{End, Kind, Mail, Request};
use std::io;
use std::sync::Arc;
use std::thread::Builder;
use std::time::Duration;

/// Starts the thread that serves the reverse lane.
pub(crate) fn start(worker: &Arc<Worker>, reverse: Arc<SharedLane>) -> io::Result<()> {
    let weak = Arc::downgrade(worker);
    let over = worker.over_flag();
    let exchange = worker.exchange;
    without_signals(|| {
        Builder::new().name("iotdec-adopt".into()).spawn(move || {
            let lane = exchange.exchange.lane(reverse.number);
            let mut end = End::default();
            let nap = || Some(Duration::from_secs(60));
            let over = || over.is_set();
            while let Some(mail) = end.wait(&lane.to_host, &lane.host_bell.0, over, nap) {
                let Some(worker) = weak.upgrade() else { return };
                let request =
                    Request::from_code(mail.index).filter(|_| mail.kind == Kind::Request.code());
                let answer = match request {
                    Some(Request::Adopt) => adopt(&worker).map(|number| number as u64),
                    Some(Request::Free) => {
                        worker.take_back();
                        Some(free_for_guest(exchange, mail.target).into())
                    }
                    Some(Request::UsableSize) => {
                        Some(usable_size_for_guest(exchange, mail.target) as u64)
                    }
                    _ => None,
                };
                drop(worker);
                let kind = answer.map_or(Kind::Refused, |_| Kind::Return);
                let mail = Mail {
                    kind: kind.code(),
                    target: answer.unwrap_or(0),
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
    match thread.spawn(move || HostLane::serve_adopted(served, number)) {
        Ok(_) => Some(number),
        Err(_) => {
            worker.release_lane(number);
            None
        }
    }
}
