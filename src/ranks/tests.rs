use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use candle_core::{DType, Device, Tensor};

use super::in_threads::{PATIENCE, in_threads};
use super::*;
use crate::Error;

#[test]
fn parts_that_cannot_be_shared_are_refused() {
    let refused = in_threads(2, |sockets| Group::new(Box::new(sockets), 3).err().unwrap().to_string());
    assert!(refused.iter().all(|text| text.contains("3 parts") && text.contains("2 ranks")), "{refused:?}");
}

#[test]
fn words_reach_all_in_order() {
    let told = in_threads(3, |sockets| sockets.tell(format!("I am {}", sockets.rank()).as_bytes()).unwrap());
    let want: Vec<Vec<u8>> = (0..3).map(|rank| format!("I am {rank}").into_bytes()).collect();
    assert!(told.iter().all(|all| *all == want));
}

#[test]
fn large_pieces_block_nobody() {
    // More than any socket's buffers: two that only wrote before they read would wait for each other.
    let n = 3_000_000;
    let sums = in_threads(2, |sockets| {
        let own = Tensor::full(sockets.rank() as f32 + 1.0, n, &Device::Cpu).unwrap();
        let all = sockets.exchange(&[own.clone(), own], &[n, n]).unwrap();
        let sum = |t: &Tensor| t.sum_all().unwrap().to_scalar::<f32>().unwrap();
        (sum(&all[0]), sum(&all[1]))
    });
    assert!(sums.iter().all(|both| *both == (n as f32, 2.0 * n as f32)), "{sums:?}");
}

#[test]
fn a_rank_that_has_gone_and_one_at_another_place_are_named() {
    let gone = in_threads(3, |sockets| {
        if sockets.rank() == 1 {
            return None;
        }
        sockets.tell(b"here").err().map(|error| (error.to_string(), error.exit_code()))
    });
    let gone: Vec<(String, i32)> = gone.into_iter().flatten().collect();
    assert_eq!(gone.len(), 2);
    assert!(gone.iter().any(|(text, code)| text == "rank 1 has gone" && *code == 1), "{gone:?}");
    let elsewhere = in_threads(2, |sockets| {
        let x = Tensor::zeros(4, DType::F32, &Device::Cpu).unwrap();
        let result = match sockets.rank() {
            0 => sockets.tell(b"words").map(drop),
            _ => sockets.exchange(&[x.clone(), x], &[4, 4]).map(drop),
        };
        result.unwrap_err().to_string()
    });
    assert!(elsewhere.iter().all(|text| text.contains("is at another place of the run")), "{elsewhere:?}");
}

#[test]
fn strangers_are_let_go_and_who_does_not_come_is_missed() {
    let rendezvous = Rendezvous::here("ours").unwrap();
    let address = rendezvous.address().unwrap();
    let stranger = TcpStream::connect(address).unwrap();
    drop(stranger);
    let theirs = thread::spawn(move || join(&address.to_string(), "theirs", 1, 2, Duration::from_secs(3)).err());
    let missed = rendezvous.gather(2, Duration::from_secs(1), &|| Ok(())).err().unwrap().to_string();
    assert!(missed.contains("1 of 2 ranks came within 1 s"), "{missed}");
    assert!(theirs.join().unwrap().is_some());
    let failing = Rendezvous::here("ours").unwrap();
    let why = failing.gather(2, PATIENCE, &|| Err(Error::Other("it died".into()))).err().unwrap().to_string();
    assert_eq!(why, "it died");
}
