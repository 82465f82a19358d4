//! A proxy before the server.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// Connections to it go on to a server of choice; moving it cuts them.
pub struct Switch {
    port: u16,
    /// Nothing comes through connections that were accepted before so many had been.
    silent: Arc<AtomicUsize>,
    target: Arc<Mutex<(u16, Vec<TcpStream>)>>,
}

impl Switch {
    pub fn to(port: u16) -> Switch {
        Switch::slowly_to(port, Duration::ZERO)
    }

    /// What the server says comes so much later.
    pub fn slowly_to(port: u16, latency: Duration) -> Switch {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has ports");
        let target = Arc::new(Mutex::new((port, Vec::new())));
        let port = listener.local_addr().expect("it has an address").port();
        let shared = Arc::clone(&target);
        let silent = Arc::new(AtomicUsize::new(0));
        let silenced = Arc::clone(&silent);
        thread::spawn(move || {
            for (number, near) in listener.incoming().flatten().enumerate() {
                let mut target = shared.lock().expect("nobody panics with it");
                let Ok(far) = TcpStream::connect(("127.0.0.1", target.0)) else {
                    continue;
                };
                let copy = |stream: &TcpStream| stream.try_clone().expect("it can be copied");
                target.1.extend([copy(&near), copy(&far)]);
                let directions = [
                    (copy(&near), copy(&far), Duration::ZERO),
                    (far, near, latency),
                ];
                for (mut from, mut to, latency) in directions {
                    let silenced = Arc::clone(&silenced);
                    thread::spawn(move || {
                        let mut some = vec![0; 1 << 20];
                        while let Ok(count @ 1..) = from.read(&mut some) {
                            if number < silenced.load(Ordering::Relaxed) {
                                continue;
                            }
                            thread::sleep(latency);
                            if to.write_all(&some[..count]).is_err() {
                                break;
                            }
                        }
                        let _ = to.shutdown(Shutdown::Both);
                    });
                }
            }
        });
        Switch {
            port,
            silent,
            target,
        }
    }

    /// Connections that are there stay, and nothing comes through them any more.
    pub fn silence(&self) {
        // Each is there twice, near and far.
        let count = self.target.lock().expect("nobody panics with it").1.len() / 2;
        self.silent.store(count, Ordering::Relaxed);
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// New connections go there.
    pub fn turn_to(&self, port: u16) {
        self.target.lock().expect("nobody panics with it").0 = port;
    }

    pub fn move_to(&self, port: u16) {
        let mut target = self.target.lock().expect("nobody panics with it");
        target.0 = port;
        for stream in target.1.drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}
