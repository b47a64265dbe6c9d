//! What each example is of.

use yore_store::LargeOp;
use yore_wire::{Answer, FailureKind, ListedStep, Message, Packet, Question};

/// What an example is of. What is added to the protocol has to be added here, and above.
pub fn name(packet: &Packet) -> String {
    let (group, name) = match packet {
        Packet::Hello(_) => ("packet", "Hello"),
        Packet::Ask(_, question) => ("ask", of_question(question)),
        Packet::Tell(message) => ("tell", of_message(message)),
        Packet::Alive => ("packet", "Alive"),
        Packet::Welcome(_) => ("packet", "Welcome"),
        Packet::More(_, answers) => ("more", of_answer(&answers[0])),
        Packet::Done(..) => ("packet", "Done"),
        Packet::Failed(_, failure) => ("failed", of_failure(&failure.kind)),
        Packet::PushFailed(_) => ("packet", "PushFailed"),
    };
    format!("{group}:{name}")
}

fn of_message(message: &Message) -> &'static str {
    match message {
        Message::Enter { .. } => "Enter",
        Message::Leave => "Leave",
        Message::Put { .. } => "Put",
        Message::Remove { .. } => "Remove",
        Message::Contents { .. } => "Contents",
        Message::LargeBegin { .. } => "LargeBegin",
        Message::Large(LargeOp::Frame(_)) => "Large:Frame",
        Message::Large(LargeOp::Same { .. }) => "Large:Same",
        Message::Large(LargeOp::Copy { .. }) => "Large:Copy",
        Message::Large(LargeOp::Zeros { .. }) => "Large:Zeros",
        Message::Large(LargeOp::Kept { .. }) => "Large:Kept",
        Message::LargeEnd { .. } => "LargeEnd",
    }
}

fn of_question(question: &Question) -> &'static str {
    match question {
        Question::Open { .. } => "Open",
        Question::Enrol(_) => "Enrol",
        Question::Version => "Version",
        Question::Snapshots => "Snapshots",
        Question::Root { .. } => "Root",
        Question::Folder { .. } => "Folder",
        Question::Entry { .. } => "Entry",
        Question::Links { .. } => "Links",
        Question::List { .. } => "List",
        Question::ListBelow { .. } => "ListBelow",
        Question::Repair { .. } => "Repair",
        Question::Read { .. } => "Read",
        Question::ReadSmall { .. } => "ReadSmall",
        Question::Space => "Space",
        Question::Versions { .. } => "Versions",
        Question::Find { .. } => "Find",
        Question::Diff { .. } => "Diff",
        Question::Stats => "Stats",
        Question::Verify { .. } => "Verify",
        Question::Forget { .. } => "Forget",
        Question::Sweep => "Sweep",
        Question::Push(_) => "Push",
        Question::Listing => "Listing",
        Question::BaseValues { .. } => "BaseValues",
        Question::Signature { .. } => "Signature",
        Question::Commit { .. } => "Commit",
        Question::Abort { .. } => "Abort",
        Question::Report { .. } => "Report",
        Question::Rows { .. } => "Rows",
        Question::Hashes { .. } => "Hashes",
        Question::Made { .. } => "Made",
        Question::Has { .. } => "Has",
    }
}

fn of_answer(answer: &Answer) -> &'static str {
    match answer {
        Answer::Opened(_) => "Opened",
        Answer::Enrolled { .. } => "Enrolled",
        Answer::Number(_) => "Number",
        Answer::Snapshot(_) => "Snapshot",
        Answer::Entry(_) => "Entry",
        Answer::Listing(_) => "Listing",
        Answer::Bytes(_) => "Bytes",
        Answer::Small { .. } => "Small",
        Answer::Frame(_) => "Frame",
        Answer::Shared { .. } => "Shared",
        Answer::Space(_) => "Space",
        Answer::Version(_) => "Version",
        Answer::Found(_) => "Found",
        Answer::Changed { .. } => "Changed",
        Answer::Stats(_) => "Stats",
        Answer::Progress { .. } => "Progress",
        Answer::Verified(_) => "Verified",
        Answer::Forgotten(_) => "Forgotten",
        Answer::Swept(_) => "Swept",
        Answer::Kept(_) => "Kept",
        Answer::KeptGroups { .. } => "KeptGroups",
        Answer::Begun { .. } => "Begun",
        Answer::Listed(ListedStep::Enter(_)) => "Listed:Enter",
        Answer::Listed(ListedStep::Leave) => "Listed:Leave",
        Answer::Listed(ListedStep::Item { .. }) => "Listed:Item",
        Answer::Values { .. } => "Values",
        Answer::Sums(_) => "Sums",
        Answer::Committed { .. } => "Committed",
        Answer::Wanted(_) => "Wanted",
        Answer::Healed(_) => "Healed",
        Answer::Hashes(_) => "Hashes",
    }
}

fn of_failure(kind: &FailureKind) -> &'static str {
    match kind {
        FailureKind::Other => "Other",
        FailureKind::NoSnapshot => "NoSnapshot",
        FailureKind::Busy => "Busy",
        FailureKind::OverBudget { .. } => "OverBudget",
        FailureKind::Refused => "Refused",
        FailureKind::Damaged => "Damaged",
        FailureKind::Denied => "Denied",
        FailureKind::Again => "Again",
        FailureKind::OverFloor { .. } => "OverFloor",
        FailureKind::NoRepository => "NoRepository",
        FailureKind::KeyRevoked => "KeyRevoked",
        FailureKind::Leaving => "Leaving",
    }
}
