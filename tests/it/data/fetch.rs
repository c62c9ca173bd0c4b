//! Downloads against a server on loopback that misbehaves in every way a mirror can.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::sync::{Arc, Mutex};

use ebm::data::fetch::{Fetched, Outcome, fetch};
use ebm::data::{FileSet, file_set, manifest};

const IMAGES: &str = "digits-images-idx3-ubyte.gz";
const LABELS: &str = "digits-labels-idx1-ubyte.gz";

/// What a server does with a request for the bytes of a file from some place on.
#[derive(Clone, Copy, PartialEq)]
enum Manner {
    Good,
    /// Sends 1000 bytes of what it announced, then hangs up.
    Cut,
    /// As `Cut`, and sends everything from the start whatever is asked for.
    CutAndNoRanges,
    NoRanges,
    NotFound,
    /// A page of the right size with other content.
    Wrong,
    /// More bytes than the file has.
    Long,
    Unavailable,
}

/// A server; every request is answered in the next manner of its list, the last one for good.
struct Server {
    url: String,
    /// (file name, first byte asked for) of every request.
    log: Arc<Mutex<Vec<(String, u64)>>>,
}

fn serve(files: BTreeMap<String, Vec<u8>>, manners: &'static [Manner]) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/data/", listener.local_addr().unwrap());
    let log = Arc::new(Mutex::new(Vec::new()));
    let seen = log.clone();
    std::thread::spawn(move || {
        for (turn, stream) in listener.incoming().enumerate() {
            let mut stream = stream.unwrap();
            let head: Vec<String> =
                BufReader::new(&stream).lines().map_while(|l| l.ok().filter(|l| !l.is_empty())).collect();
            let name = head[0].split_whitespace().nth(1).unwrap().rsplit('/').next().unwrap().to_owned();
            let range = head.iter().find_map(|l| l.to_lowercase().strip_prefix("range: bytes=").map(str::to_owned));
            let from: u64 = range.map_or(0, |r| r.trim_end_matches('-').parse().unwrap());
            seen.lock().unwrap().push((name.clone(), from));
            let manner = manners[turn.min(manners.len() - 1)];
            // The client may hang up first; that is its right.
            let _ = stream.write_all(&answer(files.get(&name), from as usize, manner));
        }
    });
    Server { url, log }
}

fn answer(content: Option<&Vec<u8>>, from: usize, manner: Manner) -> Vec<u8> {
    let status = |line: &str| format!("HTTP/1.1 {line}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").into_bytes();
    let Some(content) = content.filter(|_| manner != Manner::NotFound) else { return status("404 Not Found") };
    if manner == Manner::Unavailable {
        return status("503 Service Unavailable");
    }
    let (from, total) = match manner {
        Manner::NoRanges | Manner::CutAndNoRanges => (0, content.len()),
        _ => (from, content.len()),
    };
    let mut body = content[from..].to_vec();
    match manner {
        Manner::Wrong => body.fill(b'x'),
        Manner::Long => body.extend([0; 10]),
        _ => {}
    }
    let line = if from > 0 {
        format!("206 Partial Content\r\nContent-Range: bytes {from}-{}/{total}", total - 1)
    } else {
        "200 OK".into()
    };
    let head = format!("HTTP/1.1 {line}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    if matches!(manner, Manner::Cut | Manner::CutAndNoRanges) {
        body.truncate(1000);
    }
    [head.into_bytes(), body].concat()
}

fn shipped() -> BTreeMap<String, Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("datasets/digits");
    [IMAGES, LABELS].map(|name| (name.to_owned(), fs::read(folder.join(name)).unwrap())).into()
}

fn digits() -> FileSet {
    file_set("digits").unwrap()
}

fn get(servers: &[&Server], folder: &Path) -> ebm::Result<Vec<Fetched>> {
    let mirrors: Vec<String> = servers.iter().map(|s| s.url.clone()).collect();
    fetch(&digits(), &mirrors, folder, &|_, have, total| assert!(have <= total))
}

fn outcomes(fetched: &[Fetched]) -> Vec<Outcome> {
    fetched.iter().map(|f| f.outcome).collect()
}

/// Both files are there, right, and nothing else is.
fn assert_complete(folder: &Path) {
    for (name, content) in shipped() {
        assert!(fs::read(folder.join(&name)).unwrap() == content, "{name}");
    }
    assert_eq!(fs::read_dir(folder).unwrap().count(), 2);
}

#[test]
fn a_download_is_complete_and_not_repeated() {
    let (dir, server) = (tempfile::tempdir().unwrap(), serve(shipped(), &[Manner::Good]));
    assert_eq!(outcomes(&get(&[&server], dir.path()).unwrap()), [Outcome::Downloaded; 2]);
    assert_complete(dir.path());
    assert_eq!(outcomes(&get(&[&server], dir.path()).unwrap()), [Outcome::Present; 2]);
    assert_eq!(server.log.lock().unwrap().len(), 2);
}

#[test]
fn a_cut_connection_is_taken_up_where_it_broke() {
    let (dir, server) = (tempfile::tempdir().unwrap(), serve(shipped(), &[Manner::Cut, Manner::Cut, Manner::Good]));
    get(&[&server], dir.path()).unwrap();
    assert_complete(dir.path());
    let asked: Vec<u64> = server.log.lock().unwrap().iter().map(|(_, from)| *from).collect();
    assert_eq!(asked, [0, 1000, 2000, 0]);
}

#[test]
fn a_later_call_goes_on_with_the_part() {
    let dir = tempfile::tempdir().unwrap();
    let error = get(&[&serve(shipped(), &[Manner::Cut])], dir.path()).unwrap_err();
    assert!(error.exit_code() == 4 && error.to_string().contains("goes on from byte 3000"), "{error}");
    let good = serve(shipped(), &[Manner::Good]);
    get(&[&good], dir.path()).unwrap();
    assert_complete(dir.path());
    assert_eq!(good.log.lock().unwrap()[0], (IMAGES.to_owned(), 3000));
}

#[test]
fn a_server_that_ignores_ranges_is_read_from_the_start() {
    let manners = &[Manner::CutAndNoRanges, Manner::NoRanges];
    let (dir, server) = (tempfile::tempdir().unwrap(), serve(shipped(), manners));
    get(&[&server], dir.path()).unwrap();
    assert_complete(dir.path());
}

#[test]
fn the_next_mirror_helps_out() {
    for bad in [&[Manner::NotFound], &[Manner::Wrong], &[Manner::Long], &[Manner::Unavailable], &[Manner::Cut]] {
        let dir = tempfile::tempdir().unwrap();
        get(&[&serve(shipped(), bad), &serve(shipped(), &[Manner::Good])], dir.path()).unwrap();
        assert_complete(dir.path());
    }
}

#[test]
fn wrong_content_is_refused_and_removed() {
    let dir = tempfile::tempdir().unwrap();
    let error = get(&[&serve(shipped(), &[Manner::Wrong])], dir.path()).unwrap_err();
    let known = digits().known.files[0].sha256.clone().unwrap();
    assert!(error.exit_code() == 4 && error.to_string().contains(&format!("not {known}")), "{error}");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn a_part_that_is_wrong_is_started_again() {
    let (dir, server) = (tempfile::tempdir().unwrap(), serve(shipped(), &[Manner::Good]));
    for rubbish in [500, 44_098, 100_000] {
        fs::write(dir.path().join(format!("{IMAGES}.part")), vec![7; rubbish]).unwrap();
        get(&[&server], dir.path()).unwrap();
        assert_complete(dir.path());
        fs::remove_file(dir.path().join(IMAGES)).unwrap();
    }
}

#[test]
fn a_bad_file_is_left_for_its_owner() {
    let (dir, server) = (tempfile::tempdir().unwrap(), serve(shipped(), &[Manner::Good]));
    fs::write(dir.path().join(IMAGES), b"mine").unwrap();
    let error = get(&[&server], dir.path()).unwrap_err();
    assert!(error.to_string().contains("move the file away"), "{error}");
    assert_eq!(fs::read(dir.path().join(IMAGES)).unwrap(), b"mine");
}

#[test]
fn every_mirror_that_failed_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let (gone, closed) =
        (serve(shipped(), &[Manner::NotFound]), Server { url: "http://127.0.0.1:9/".into(), log: Arc::default() });
    let error = get(&[&gone, &closed], dir.path()).unwrap_err().to_string();
    assert!(error.contains(&gone.url) && error.contains("404") && error.contains(&closed.url), "{error}");
    assert!(error.contains("--mirror"), "{error}");
    let none = fetch(&digits(), &[], dir.path(), &|_, _, _| ()).unwrap_err();
    assert_eq!(none.exit_code(), 2);
}

#[test]
fn files_are_taken_out_of_an_archive() {
    use sha2::Digest as _;
    let files = shipped();
    let mut tar = tar::Builder::new(Vec::new());
    for (name, content) in [("readme", b"hello".as_slice()), (LABELS, &files[LABELS]), (IMAGES, &files[IMAGES])] {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        tar.append_data(&mut header, format!("x/{name}"), content).unwrap();
    }
    let mut packed = Vec::new();
    flate2::read::GzEncoder::new(&*tar.into_inner().unwrap(), Default::default()).read_to_end(&mut packed).unwrap();
    let mut set = digits();
    set.known.archive = Some(manifest::Archive {
        name: "all.tar.gz".into(),
        size: packed.len() as u64,
        sha256: sha2::Sha256::digest(&packed).iter().map(|b| format!("{b:02x}")).collect(),
    });
    let server = serve([("all.tar.gz".to_owned(), packed)].into(), &[Manner::Cut, Manner::Good]);
    let dir = tempfile::tempdir().unwrap();
    let fetched = fetch(&set, std::slice::from_ref(&server.url), dir.path(), &|_, _, _| ()).unwrap();
    assert_eq!(outcomes(&fetched), [Outcome::Extracted; 2]);
    assert_complete(dir.path());
    let again = fetch(&set, std::slice::from_ref(&server.url), dir.path(), &|_, _, _| ()).unwrap();
    assert_eq!(outcomes(&again), [Outcome::Present; 2]);
}
