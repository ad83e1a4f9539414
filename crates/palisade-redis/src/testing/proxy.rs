use std::{
    io::{Read, Write},
    net::{Ipv4Addr, Shutdown, TcpListener, TcpStream},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

/// A way to a server that is as far away as one in another region: everything arrives later.
///
/// Its threads end with the connections, and the one that accepts them with the process.
#[derive(Debug)]
pub struct SlowProxy {
    port: u16,
}

impl SlowProxy {
    /// Listens on a free port, and forwards to this one. A question and its answer take `round_trip` longer.
    ///
    /// # Panics
    ///
    /// If there is no free port.
    pub fn start(to: u16, round_trip: Duration) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let port = listener.local_addr().expect("its number").port();
        thread::spawn(move || {
            while let Ok((client, _)) = listener.accept() {
                let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, to)) else { continue };
                // A connection takes a round trip to open.
                thread::spawn(move || {
                    thread::sleep(round_trip);
                    for (from, to) in [(&client, &server), (&server, &client)] {
                        let _ = to.set_nodelay(true);
                        if let (Ok(from), Ok(to)) = (from.try_clone(), to.try_clone()) {
                            forward(from, to, round_trip / 2);
                        }
                    }
                });
            }
        });
        Self { port }
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }
}

/// Forwards one direction, on two threads: one reads at once, and the other writes what is due.
#[allow(clippy::disallowed_methods, reason = "the delay is one of real time")]
fn forward(mut from: TcpStream, mut to: TcpStream, delay: Duration) {
    let (sender, receiver) = mpsc::channel::<(Instant, Vec<u8>)>();
    thread::spawn(move || {
        let mut buffer = [0; 16 * 1024];
        while let Ok(read @ 1..) = from.read(&mut buffer) {
            if sender.send((Instant::now() + delay, buffer[..read].to_vec())).is_err() {
                break;
            }
        }
    });
    thread::spawn(move || {
        for (due, bytes) in receiver {
            thread::sleep(due.saturating_duration_since(Instant::now()));
            if to.write_all(&bytes).is_err() {
                break;
            }
        }
        // The other side sees the end, too.
        let _ = to.shutdown(Shutdown::Both);
    });
}
