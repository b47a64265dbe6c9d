//! A snapshot of a stream: one file of a length that nobody knows, told as it comes.

use std::io::{self, Read};

use yore_store::delta::{Op, Scanner, block_len_for};
use yore_store::{Body, GROUP, Hash, Kind, MEDIUM, Meta, PushOptions, group_value};
use yore_wire::Message;

use super::{AgentError, Outcome, Progress, begin, blank, finish, is_no_place, now, told};
use crate::destination::Destination;
use crate::metadata::Stat;
use crate::push::Push;
use crate::sender::{GroupHasher, LargeSender};
use crate::state::{ABOVE, Seen};
use crate::target::Target;
use crate::turn::Turn;

/// Makes a snapshot with one file, `/NAME`, from a stream of unknown length.
pub fn snapshot_stdin(
    target: &Target,
    name: &[u8],
    tags: Vec<String>,
    host: String,
    cache_dir: &std::path::Path,
    input: &mut dyn Read,
    progress: &dyn Progress,
) -> Result<Outcome, AgentError> {
    let root = [b"/", name].concat();
    let options = PushOptions {
        host,
        roots: vec![root],
        tags,
        made: None,
    };
    let _turn = Turn::wait(cache_dir, target, &options, progress)?;
    let destination = Destination::begin(target, options, None, None)?;
    // It can be read only once: what is remembered has to be decided before.
    let state = begin(&destination, cache_dir, true).or_else(|error| match error {
        AgentError::StateDatabase(error) if is_no_place(&error) => begin(&destination, cache_dir, false),
        error => Err(error),
    });
    let mut push = match state {
        Ok((state, _)) => Push::new(destination, state, progress, now()),
        Err(error) => {
            destination.abort(&told(&error));
            return Err(error);
        }
    };
    match send_stream(&mut push, name, input) {
        Ok(()) => finish(push, false),
        Err(error) => {
            push.destination.abort(&told(&error));
            Err(error)
        }
    }
}

fn send_stream(push: &mut Push<'_>, name: &[u8], input: &mut dyn Read) -> Result<(), AgentError> {
    let root = push.state.folder(ABOVE)?.into_iter().next();
    let known = match root.as_ref().and_then(|root| root.child) {
        Some(child) => push.state.folder(child)?.into_iter().find(|seen| seen.name == name),
        None => None,
    };
    let mut start = Vec::new();
    input.take(MEDIUM + 1).read_to_end(&mut start)?;
    let body = match start.len() as u64 <= MEDIUM {
        true => push.send_bytes(start, known.as_ref())?,
        false => Some(send_large_stream(
            push,
            known.and_then(|known| known.hash),
            &start,
            input,
        )?),
    };
    push.flush()?;
    let mut meta = Meta::plain(Kind::File, 0o600);
    meta.mtime = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |now| now.as_secs() as i64);
    let folder = (root.is_none()).then(|| Meta::plain(Kind::Folder, 0o755));
    let number = match root.as_ref().and_then(|root| root.child) {
        Some(number) => number,
        None => push.state.new_folder(),
    };
    if let Some(folder) = &folder {
        push.state.put(ABOVE, &remembered(b"", folder, None, Some(number)))?;
    }
    push.state.put(number, &remembered(name, &meta, body, None))?;
    push.destination.send(Message::Enter {
        name: Vec::new(),
        meta: folder,
    })?;
    push.destination.send(Message::Put {
        name: name.to_vec(),
        meta: Box::new(meta),
        body,
        link: None,
    })?;
    push.destination.send(Message::Leave)?;
    push.counts.new += 1;
    Ok(())
}

fn remembered(name: &[u8], meta: &Meta, body: Option<Body>, child: Option<i64>) -> Seen {
    let (name, kind, digest) = (name.to_vec(), meta.kind, meta.digest());
    let stat = Stat {
        size: body.map_or(0, |body| body.size),
        ..blank()
    };
    Seen {
        name,
        stat,
        trusted: false,
        kind,
        digest,
        hash: body.map(|body| body.hash),
        child,
    }
}

/// What a stream is called while it is sent; it cannot be read again, so nobody goes on with it.
const STDIN_KEY: [u8; 16] = [0; 16];

/// How long a stream is taken to be, in bytes, where its base is asked for: see [`Destination::base_values`].
const EXPECTED: u64 = 1 << 40;

/// A long stream, group by group: what is in place in the last version is the same; the
/// rest is looked for in it anywhere.
fn send_large_stream(
    push: &mut Push<'_>,
    base: Option<Hash>,
    start: &[u8],
    input: &mut dyn Read,
) -> Result<Body, AgentError> {
    let values = match &base {
        Some(base) => push.destination.base_values(base, EXPECTED)?,
        None => None,
    };
    let base = base.filter(|_| values.as_ref().is_some_and(|values| values.size > MEDIUM));
    let mut input = start.chain(input);
    let mut group = vec![0; GROUP as usize];
    let mut signature = None;
    let progress = push.progress;
    let mut name = GroupHasher::default();
    if let (Some(base), Some(values)) = (base, &values) {
        signature = Some(
            push.destination
                .signature(&base, &[(0, values.size)], block_len_for(values.size))?,
        );
    }
    let mut sender = LargeSender::begin(&mut push.destination, base, STDIN_KEY)?;
    let mut index = 0u64;
    let mut ended = false;
    while !ended {
        // Groups that differ go through one scanner, so that it finds what moved across them.
        let mut same = 0u64;
        let mut changed: Option<Vec<u8>> = None;
        while let length @ 1.. = fill_group(&mut input, &mut group)? {
            progress.bytes(length as u64);
            name.update(&group[..length]);
            let value = group_value(index, &group[..length]);
            index += 1;
            let is_same = length as u64 == GROUP
                && base.is_some()
                && values.as_ref().is_some_and(|values| {
                    index * GROUP <= values.size
                        && values.groups.get(index as usize - 1).copied().flatten() == Some(value)
                });
            if is_same {
                same += 1;
                continue;
            }
            changed = Some(group[..length].to_vec());
            break;
        }
        if same > 0 {
            sender.same(same, same * GROUP)?;
        }
        let Some(first) = changed else { break };
        let Some(signature) = &signature else {
            sender.literal(&first)?;
            continue;
        };
        let mut scanner = Scanner::new(signature, |op| match op {
            Op::Literal(bytes) => sender.literal(bytes),
            Op::Copy { from, len } => sender.copy(from, len),
        });
        scanner.push(&first)?;
        loop {
            let length = fill_group(&mut input, &mut group)?;
            if length == 0 {
                ended = true;
                break;
            }
            progress.bytes(length as u64);
            name.update(&group[..length]);
            index += 1;
            scanner.push(&group[..length])?;
        }
        scanner.finish()?;
    }
    let body = name.finish();
    push.counts.bytes_read += body.size;
    Ok(sender.end::<yore_store::Error>(body)?)
}

/// Reads until the group is full or the stream ends; gives how much there was.
fn fill_group(input: &mut dyn Read, group: &mut [u8]) -> io::Result<usize> {
    let mut done = 0;
    while done < group.len() {
        match input.read(&mut group[done..]) {
            Ok(0) => break,
            Ok(length) => done += length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}
