# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_yore_global_optspecs
    string join \n r/repository= json q/quiet v/verbose h/help V/version
end

function __fish_yore_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_yore_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_yore_using_subcommand
    set -l cmd (__fish_yore_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c yore -n "__fish_yore_needs_command" -s r -l repository -d 'The repository: a folder made by `yore init`; without it, the one of the agent\'s file' -r -F
complete -c yore -n "__fish_yore_needs_command" -l json -d 'Print JSON instead of text for people'
complete -c yore -n "__fish_yore_needs_command" -s q -l quiet -d 'Print no progress and nothing that is not asked for'
complete -c yore -n "__fish_yore_needs_command" -s v -l verbose -d 'Say more, such as everything that is left out'
complete -c yore -n "__fish_yore_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c yore -n "__fish_yore_needs_command" -s V -l version -d 'Print version'
complete -c yore -n "__fish_yore_needs_command" -f -a "init" -d 'Make a new, empty repository'
complete -c yore -n "__fish_yore_needs_command" -f -a "snapshot" -d 'Take a snapshot of files and folders'
complete -c yore -n "__fish_yore_needs_command" -f -a "snapshots" -d 'List the snapshots, oldest first'
complete -c yore -n "__fish_yore_needs_command" -f -a "ls" -d 'List what is in a folder of a snapshot'
complete -c yore -n "__fish_yore_needs_command" -f -a "cat" -d 'Write a file of a snapshot to standard output'
complete -c yore -n "__fish_yore_needs_command" -f -a "restore" -d 'Put files of a snapshot back on a disk'
complete -c yore -n "__fish_yore_needs_command" -f -a "diff" -d 'Say what differs between two snapshots'
complete -c yore -n "__fish_yore_needs_command" -f -a "find" -d 'Find names in every snapshot'
complete -c yore -n "__fish_yore_needs_command" -f -a "log" -d 'List the versions of a path, oldest first'
complete -c yore -n "__fish_yore_needs_command" -f -a "mount" -d 'Show every snapshot as a folder'
complete -c yore -n "__fish_yore_needs_command" -f -a "umount" -d 'Take a mount away'
complete -c yore -n "__fish_yore_needs_command" -f -a "copy" -d 'Copy snapshots to a second repository, on another disk or a server'
complete -c yore -n "__fish_yore_needs_command" -f -a "link" -d 'Link this machine to a server'
complete -c yore -n "__fish_yore_needs_command" -f -a "forget" -d 'Remove snapshots'
complete -c yore -n "__fish_yore_needs_command" -f -a "prune" -d 'Remove the snapshots that no rule keeps'
complete -c yore -n "__fish_yore_needs_command" -f -a "verify" -d 'Look for damage'
complete -c yore -n "__fish_yore_needs_command" -f -a "repair" -d 'Mend a damaged repository'
complete -c yore -n "__fish_yore_needs_command" -f -a "stats" -d 'Say how much is stored, and how'
complete -c yore -n "__fish_yore_needs_command" -f -a "include" -d 'Say what this machine backs up'
complete -c yore -n "__fish_yore_needs_command" -f -a "exclude" -d 'Say what to leave out'
complete -c yore -n "__fish_yore_needs_command" -f -a "schedule" -d 'Say when to push by itself'
complete -c yore -n "__fish_yore_needs_command" -f -a "watch" -d 'Push by itself, when it is time and when something has changed'
complete -c yore -n "__fish_yore_needs_command" -f -a "run" -d 'Push now what the schedule would push'
complete -c yore -n "__fish_yore_needs_command" -f -a "status" -d 'Show how it goes with this machine\'s backups'
complete -c yore -n "__fish_yore_needs_command" -f -a "pause" -d 'Let `yore watch` push nothing for a while'
complete -c yore -n "__fish_yore_needs_command" -f -a "resume" -d 'End a pause'
complete -c yore -n "__fish_yore_needs_command" -f -a "man" -d 'Write the man pages into a folder'
complete -c yore -n "__fish_yore_needs_command" -f -a "completions" -d 'Write a shell\'s completions to standard output'
complete -c yore -n "__fish_yore_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c yore -n "__fish_yore_using_subcommand init" -l compression -d 'How new data is compressed: zstd:1 (fast) to zstd:19 (small), or off' -r
complete -c yore -n "__fish_yore_using_subcommand init" -s r -l repository -d 'The repository: a folder made by `yore init`; without it, the one of the agent\'s file' -r -F
complete -c yore -n "__fish_yore_using_subcommand init" -l json -d 'Print JSON instead of text for people'
complete -c yore -n "__fish_yore_using_subcommand init" -s q -l quiet -d 'Print no progress and nothing that is not asked for'
complete -c yore -n "__fish_yore_using_subcommand init" -s v -l verbose -d 'Say more, such as everything that is left out'
complete -c yore -n "__fish_yore_using_subcommand init" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c yore -n "__fish_yore_using_subcommand snapshot" -s e -l exclude -d 'Leave out what fits this pattern; may be given more than once' -r
complete -c yore -n "__fish_yore_using_subcommand snapshot" -l exclude-from -d 'Leave out what fits a line of this file; may be given more than once' -r -F
complete -c yore -n "__fish_yore_using_subcommand snapshot" -s t -l tag -d 'Give the snapshot a tag; may be given more than once' -r
complete -c yore -n "__fish_yore_using_subcommand snapshot" -l host -d 'Say that the files are of this machine' -r
complete -c yore -n "__fish_yore_using_subcommand snapshot" -l limit-rate -d 'Send at most so many bytes a second to a server: 500K, 2M' -r
complete -c yore -n "__fish_yore_using_subcommand snapshot" -l retry-for -d 'Go on for so long if the connection to the server breaks: 30s, 10m, 1h, off' -r
complete -c yore -n "__fish_yore_using_subcommand snapshot" -l stdin-name -d 'What that file is called in the snapshot' -r
complete -c yore -n "__fish_yore_using_subcommand snapshot" -s r -l repository -d 'The repository: a folder made by `yore init`; without it, the one of the agent\'s file' -r -F
complete -c yore -n "__fish_yore_using_subcommand snapshot" -l exclude-caches -d 'Leave out what is in folders with a CACHEDIR.TAG'
complete -c yore -n "__fish_yore_using_subcommand snapshot" -s x -l one-file-system -d 'Leave out what lies on other file systems than the given paths'
complete -c yore -n "__fish_yore_using_subcommand snapshot" -s n -l dry-run -d 'Read everything, store nothing'
complete -c yore -n "__fish_yore_using_subcommand snapshot" -l stdin -d 'Take one file from standard input, of any length'
complete -c yore -n "__fish_yore_using_subcommand snapshot" -l json -d 'Print JSON instead of text for people'
complete -c yore -n "__fish_yore_using_subcommand snapshot" -s q -l quiet -d 'Print no progress and nothing that is not asked for'
complete -c yore -n "__fish_yore_using_subcommand snapshot" -s v -l verbose -d 'Say more, such as everything that is left out'
complete -c yore -n "__fish_yore_using_subcommand snapshot" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c yore -n "__fish_yore_using_subcommand snapshots" -l tag -d 'Only snapshots with this tag; may be given more than once for any of them' -r
complete -c yore -n "__fish_yore_using_subcommand snapshots" -s r -l repository -d 'The repository: a folder made by `yore init`; without it, the one of the agent\'s file' -r -F
complete -c yore -n "__fish_yore_using_subcommand snapshots" -l json -d 'Print JSON instead of text for people'
complete -c yore -n "__fish_yore_using_subcommand snapshots" -s q -l quiet -d 'Print no progress and nothing that is not asked for'
complete -c yore -n "__fish_yore_using_subcommand snapshots" -s v -l verbose -d 'Say more, such as everything that is left out'
complete -c yore -n "__fish_yore_using_subcommand snapshots" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c yore -n "__fish_yore_using_subcommand ls" -s r -l repository -d 'The repository: a folder made by `yore init`; without it, the one of the agent\'s file' -r -F
complete -c yore -n "__fish_yore_using_subcommand ls" -s l -l long -d 'With kind, permissions, owner, group, bytes and time of each'
complete -c yore -n "__fish_yore_using_subcommand ls" -s R -l recursive -d 'Every folder below it as well'
complete -c yore -n "__fish_yore_using_subcommand ls" -l json -d 'Print JSON instead of text for people'
complete -c yore -n "__fish_yore_using_subcommand ls" -s q -l quiet -d 'Print no progress and nothing that is not asked for'
complete -c yore -n "__fish_yore_using_subcommand ls" -s v -l verbose -d 'Say more, such as everything that is left out'
complete -c yore -n "__fish_yore_using_subcommand ls" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c yore -n "__fish_yore_using_subcommand cat" -s r -l repository -d 'The repository: a folder made by `yore init`; without it, the one of the agent\'s file' -r -F
complete -c yore -n "__fish_yore_using_subcommand cat" -l json -d 'Print JSON instead of text for people'
complete -c yore -n "__fish_yore_using_subcommand cat" -s q -l quiet -d 'Print no progress and nothing that is not asked for'
complete -c yore -n "__fish_yore_using_subcommand cat" -s v -l verbose -d 'Say more, such as everything that is left out'
complete -c yore -n "__fish_yore_using_subcommand cat" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c yore -n "__fish_yore_using_subcommand restore" -l overwrite -d 'What to do where something is already' -r -f -a "always\t'Replace it'
if-newer\t'Replace it if the snapshot\'s is newer'
never\t'Leave it'"
complete -c yore -n "__fish_yore_using_subcommand restore" -l strip -d 'Drop this many names at the beginning of every path' -r
complete -c yore -n "__fish_yore_using_subcommand restore" -l include -d 'Only what fits this pattern of .gitignore\'s syntax; may be given more than once' -r
complete -c yore -n "__fish_yore_using_subcommand restore" -s r -l repository -d 'The repository: a folder made by `yore init`; without it, the one of the agent\'s file' -r -F
complete -c yore -n "__fish_yore_using_subcommand restore" -l delete -d 'Remove what is in a restored folder and not in the snapshot'
complete -c yore -n "__fish_yore_using_subcommand restore" -l own -d 'Make everything your own: no recorded owners, set-id bits, ACLs, capabilities and devices'
complete -c yore -n "__fish_yore_using_subcommand restore" -l json -d 'Print JSON instead of text for people'
complete -c yore -n "__fish_yore_using_subcommand restore" -s q -l quiet -d 'Print no progress and nothing that is not asked for'
complete -c yore -n "__fish_yore_using_subcommand restore" -s v -l verbose -d 'Say more, such as everything that is left out'
complete -c yore -n "__fish_yore_using_subcommand restore" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c yore -n "__fish_yore_using_subcommand diff" -s r -l repository -d 'The repository: a folder made by `yore init`; without it, the one of the agent\'s file' -r -F
complete -c yore -n "__fish_yore_using_subcommand diff" -l json -d 'Print JSON instead of text for people'
complete -c yore -n "__fish_yore_using_subcommand diff" -s q -l quiet -d 'Print no progress and nothing that is not asked for'
complete -c yore -n "__fish_yore_using_subcommand diff" -s v -l verbose -d 'Say more, such as everything that is left out'
complete -c yore -n "__fish_yore_using_subcommand diff" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c yore -n "__fish_yore_using_subcommand find" -s r -l repository -d 'The repository: a folder made by `yore init`; without it, the one of the agent\'s file' -r -F
complete -c yore -n "__fish_yore_using_subcommand find" -l json -d 'Print JSON instead of text for people'
complete -c yore -n "__fish_yore_using_subcommand find" -s q -l quiet -d 'Print no progress and nothing that is not asked for'
complete -c yore -n "__fish_yore_using_subcommand find" -s v -l verbose -d 'Say more, such as everything that is left out'
complete -c yore -n "__fish_yore_using_subcommand find" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c yore -n "__fish_yore_using_subcommand log" -s r -l repository -d 'The repository: a folder made by `yore init`; without it, the one of the agent\'s file' -r -F
complete -c yore -n "__fish_yore_using_subcommand log" -l json -d 'Print JSON instead of text for people'
complete -c yore -n "__fish_yore_using_subcommand log" -s q -l quiet -d 'Print no progress and nothing that is not asked for'
complete -c yore -n "__fish_yore_using_subcommand log" -s v -l verbose -d 'Say more, such as everything that is left out'
complete -c yore -n "__fish_yore_using_subcommand log" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c yore -n "__fish_yore_using_subcommand mount" -s r -l repository -d 'The repository: a folder made by `yore init`; without it, the one of the agent\'s file' -r -F
complete -c yore -n "__fish_yore_using_subcommand mount" -s f -l foreground -d 'Stay, until it is unmounted, or until Ctrl-C or SIGTERM unmount it'
complete -c yore -n "__fish_yore_using_subcommand mount" -l allow-other -d 'Let other users in, as far as the files\' modes let them'
complete -c yore -n "__fish_yore_using_subcommand mount" -l own -d 'Show everything as your own, and readable'
complete -c yore -n "__fish_yore_using_subcommand mount" -l trust-disk -d 'Let the kernel read files without our verification: faster, if the disk is to be trusted'
complete -c yore -n "__fish_yore_using_subcommand mount" -l detached -d 'Serve as the background process that `yore mount` starts; see `background`'
complete -c yore -n "__fish_yore_using_subcommand mount" -l json -d 'Print JSON instead of text for people'
complete -c yore -n "__fish_yore_using_subcommand mount" -s q -l quiet -d 'Print no progress and nothing that is not asked for'
complete -c yore -n "__fish_yore_using_subcommand mount" -s v -l verbose -d 'Say more, such as everything that is left out'
complete -c yore -n "__fish_yore_using_subcommand mount" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c yore -n "__fish_yore_using_subcommand umount" -s r -l repository -d 'The repository: a folder made by `yore init`; without it, the one of the agent\'s file' -r -F
complete -c yore -n "__fish_yore_using_subcommand umount" -s z -l lazy -d 'Take it away now; programs that still use it keep it until they are done'
complete -c yore -n "__fish_yore_using_subcommand umount" -l json -d 'Print JSON instead of text for people'
complete -c yore -n "__fish_yore_using_subcommand umount" -s q -l quiet -d 'Print no progress and nothing that is not asked for'
complete -c yore -n "__fish_yore_using_subcommand umount" -s v -l verbose -d 'Say more, such as everything that is left out'
complete -c yore -n "__fish_yore_using_subcommand umount" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c yore -n "__fish_yore_using_subcommand copy" -l snapshot -d 'Copy this snapshot; may be given more than once; all if nothing is said' -r
complete -c yore -n "__fish_yore_using_subcommand copy" -l host -d 'Copy only snapshots of this machine' -r
complete -c yore -n "__fish_yore_using_subcommand copy" -l limit-rate -d 'Send at most so many bytes a second to a server: 500K, 2M' -r
complete -c yore -n "__fish_yore_using_subcommand copy" -s r -l repository -d 'The repository: a folder made by `yore init`; without it, the one of the agent\'s file' -r -F
complete -c yore -n "__fish_yore_using_subcommand copy" -s n -l dry-run -d 'Only say what would be copied'
complete -c yore -n "__fish_yore_using_subcommand copy" -l json -d 'Print JSON instead of text for people'
complete -c yore -n "__fish_yore_using_subcommand copy" -s q -l quiet -d 'Print no progress and nothing that is not asked for'
complete -c yore -n "__fish_yore_using_subcommand copy" -s v -l verbose -d 'Say more, such as everything that is left out'
complete -c yore -n "__fish_yore_using_subcommand copy" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c yore -n "__fish_yore_using_subcommand link" -l user -d 'The account on the server' -r
complete -c yore -n "__fish_yore_using_subcommand link" -l repository -d 'What to call the repository there; this machine\'s name if nothing is said' -r -F
complete -c yore -n "__fish_yore_using_subcommand link" -l invitation -d 'Enrol with this invitation, so that no password is asked for; with `-` it is the first line of standard input' -r
complete -c yore -n "__fish_yore_using_subcommand link" -l host-key -d 'The server\'s key, if you know it: SHA256:…' -r
complete -c yore -n "__fish_yore_using_subcommand link" -l transport -d 'What carries everything to the server: the built-in SSH, or the system\'s ssh with its configuration (ProxyJump, HostName; the port is that of the URL); agent.toml\'s if nothing is said' -r
complete -c yore -n "__fish_yore_using_subcommand link" -l password-stdin -d 'Read the password from the first line of standard input'
complete -c yore -n "__fish_yore_using_subcommand link" -l force -d 'Also if the repository is another machine\'s, or this machine is linked already'
complete -c yore -n "__fish_yore_using_subcommand link" -l replace -d 'Take the repository over from a machine that is gone'
complete -c yore -n "__fish_yore_using_subcommand link" -s y -l yes -d 'Ask nothing: take the server\'s key as it is'
complete -c yore -n "__fish_yore_using_subcommand link" -l json -d 'Print JSON instead of text for people'
complete -c yore -n "__fish_yore_using_subcommand link" -s q -l quiet -d 'Print no progress and nothing that is not asked for'
complete -c yore -n "__fish_yore_using_subcommand link" -s v -l verbose -d 'Say more, such as everything that is left out'
complete -c yore -n "__fish_yore_using_subcommand link" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c yore -n "__fish_yore_using_subcommand forget" -s r -l repository -d 'The repository: a folder made by `yore init`; without it, the one of the agent\'s file' -r -F
complete -c yore -n "__fish_yore_using_subcommand forget" -l json -d 'Print JSON instead of text for people'
complete -c yore -n "__fish_yore_using_subcommand forget" -s q -l quiet -d 'Print no progress and nothing that is not asked for'
complete -c yore -n "__fish_yore_using_subcommand forget" -s v -l verbose -d 'Say more, such as everything that is left out'
complete -c yore -n "__fish_yore_using_subcommand forget" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c yore -n "__fish_yore_using_subcommand prune" -l keep-last -d 'Keep this many of the newest' -r
complete -c yore -n "__fish_yore_using_subcommand prune" -l keep-hourly -d 'Keep the newest of each of this many hours' -r
complete -c yore -n "__fish_yore_using_subcommand prune" -l keep-daily -d 'Keep the newest of each of this many days' -r
complete -c yore -n "__fish_yore_using_subcommand prune" -l keep-weekly -d 'Keep the newest of each of this many weeks' -r
complete -c yore -n "__fish_yore_using_subcommand prune" -l keep-monthly -d 'Keep the newest of each of this many months' -r
complete -c yore -n "__fish_yore_using_subcommand prune" -l keep-yearly -d 'Keep the newest of each of this many years' -r
complete -c yore -n "__fish_yore_using_subcommand prune" -l keep-within -d 'Keep all that are younger than this, counted back from the newest: 30d, 2w, 6m, 1y5m7d2h' -r
complete -c yore -n "__fish_yore_using_subcommand prune" -l keep-tag -d 'Keep all with this tag; may be given more than once' -r
complete -c yore -n "__fish_yore_using_subcommand prune" -s r -l repository -d 'The repository: a folder made by `yore init`; without it, the one of the agent\'s file' -r -F
complete -c yore -n "__fish_yore_using_subcommand prune" -s n -l dry-run -d 'Only say what would stay and what would go'
complete -c yore -n "__fish_yore_using_subcommand prune" -l json -d 'Print JSON instead of text for people'
complete -c yore -n "__fish_yore_using_subcommand prune" -s q -l quiet -d 'Print no progress and nothing that is not asked for'
complete -c yore -n "__fish_yore_using_subcommand prune" -s v -l verbose -d 'Say more, such as everything that is left out'
complete -c yore -n "__fish_yore_using_subcommand prune" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c yore -n "__fish_yore_using_subcommand verify" -s r -l repository -d 'The repository: a folder made by `yore init`; without it, the one of the agent\'s file' -r -F
complete -c yore -n "__fish_yore_using_subcommand verify" -l read-data -d 'Read and check every byte that is stored'
complete -c yore -n "__fish_yore_using_subcommand verify" -l json -d 'Print JSON instead of text for people'
complete -c yore -n "__fish_yore_using_subcommand verify" -s q -l quiet -d 'Print no progress and nothing that is not asked for'
complete -c yore -n "__fish_yore_using_subcommand verify" -s v -l verbose -d 'Say more, such as everything that is left out'
complete -c yore -n "__fish_yore_using_subcommand verify" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c yore -n "__fish_yore_using_subcommand repair" -s r -l repository -d 'The repository: a folder made by `yore init`; without it, the one of the agent\'s file' -r -F
complete -c yore -n "__fish_yore_using_subcommand repair" -l dry-run -d 'Change nothing; say what is damaged, and what would be made of the catalog'
complete -c yore -n "__fish_yore_using_subcommand repair" -l json -d 'Print JSON instead of text for people'
complete -c yore -n "__fish_yore_using_subcommand repair" -s q -l quiet -d 'Print no progress and nothing that is not asked for'
complete -c yore -n "__fish_yore_using_subcommand repair" -s v -l verbose -d 'Say more, such as everything that is left out'
complete -c yore -n "__fish_yore_using_subcommand repair" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c yore -n "__fish_yore_using_subcommand stats" -s r -l repository -d 'The repository: a folder made by `yore init`; without it, the one of the agent\'s file' -r -F
complete -c yore -n "__fish_yore_using_subcommand stats" -l json -d 'Print JSON instead of text for people'
complete -c yore -n "__fish_yore_using_subcommand stats" -s q -l quiet -d 'Print no progress and nothing that is not asked for'
complete -c yore -n "__fish_yore_using_subcommand stats" -s v -l verbose -d 'Say more, such as everything that is left out'
complete -c yore -n "__fish_yore_using_subcommand stats" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c yore -n "__fish_yore_using_subcommand include" -s r -l repository -d 'The repository: a folder made by `yore init`; without it, the one of the agent\'s file' -r -F
complete -c yore -n "__fish_yore_using_subcommand include" -l remove -d 'Do not back these up any more; what snapshots have of them stays'
complete -c yore -n "__fish_yore_using_subcommand include" -l json -d 'Print JSON instead of text for people'
complete -c yore -n "__fish_yore_using_subcommand include" -s q -l quiet -d 'Print no progress and nothing that is not asked for'
complete -c yore -n "__fish_yore_using_subcommand include" -s v -l verbose -d 'Say more, such as everything that is left out'
complete -c yore -n "__fish_yore_using_subcommand include" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c yore -n "__fish_yore_using_subcommand exclude" -s r -l repository -d 'The repository: a folder made by `yore init`; without it, the one of the agent\'s file' -r -F
complete -c yore -n "__fish_yore_using_subcommand exclude" -l remove -d 'Do not leave these out any more'
complete -c yore -n "__fish_yore_using_subcommand exclude" -l json -d 'Print JSON instead of text for people'
complete -c yore -n "__fish_yore_using_subcommand exclude" -s q -l quiet -d 'Print no progress and nothing that is not asked for'
complete -c yore -n "__fish_yore_using_subcommand exclude" -s v -l verbose -d 'Say more, such as everything that is left out'
complete -c yore -n "__fish_yore_using_subcommand exclude" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c yore -n "__fish_yore_using_subcommand schedule" -l after-change -d 'Push this long after the last change too, such as 5m; or off' -r
complete -c yore -n "__fish_yore_using_subcommand schedule" -s r -l repository -d 'The repository: a folder made by `yore init`; without it, the one of the agent\'s file' -r -F
complete -c yore -n "__fish_yore_using_subcommand schedule" -l json -d 'Print JSON instead of text for people'
complete -c yore -n "__fish_yore_using_subcommand schedule" -s q -l quiet -d 'Print no progress and nothing that is not asked for'
complete -c yore -n "__fish_yore_using_subcommand schedule" -s v -l verbose -d 'Say more, such as everything that is left out'
complete -c yore -n "__fish_yore_using_subcommand schedule" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c yore -n "__fish_yore_using_subcommand watch" -s r -l repository -d 'The repository: a folder made by `yore init`; without it, the one of the agent\'s file' -r -F
complete -c yore -n "__fish_yore_using_subcommand watch" -l json -d 'Print JSON instead of text for people'
complete -c yore -n "__fish_yore_using_subcommand watch" -s q -l quiet -d 'Print no progress and nothing that is not asked for'
complete -c yore -n "__fish_yore_using_subcommand watch" -s v -l verbose -d 'Say more, such as everything that is left out'
complete -c yore -n "__fish_yore_using_subcommand watch" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c yore -n "__fish_yore_using_subcommand run" -s r -l repository -d 'The repository: a folder made by `yore init`; without it, the one of the agent\'s file' -r -F
complete -c yore -n "__fish_yore_using_subcommand run" -l json -d 'Print JSON instead of text for people'
complete -c yore -n "__fish_yore_using_subcommand run" -s q -l quiet -d 'Print no progress and nothing that is not asked for'
complete -c yore -n "__fish_yore_using_subcommand run" -s v -l verbose -d 'Say more, such as everything that is left out'
complete -c yore -n "__fish_yore_using_subcommand run" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c yore -n "__fish_yore_using_subcommand status" -s r -l repository -d 'The repository: a folder made by `yore init`; without it, the one of the agent\'s file' -r -F
complete -c yore -n "__fish_yore_using_subcommand status" -l json -d 'Print JSON instead of text for people'
complete -c yore -n "__fish_yore_using_subcommand status" -s q -l quiet -d 'Print no progress and nothing that is not asked for'
complete -c yore -n "__fish_yore_using_subcommand status" -s v -l verbose -d 'Say more, such as everything that is left out'
complete -c yore -n "__fish_yore_using_subcommand status" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c yore -n "__fish_yore_using_subcommand pause" -s r -l repository -d 'The repository: a folder made by `yore init`; without it, the one of the agent\'s file' -r -F
complete -c yore -n "__fish_yore_using_subcommand pause" -l json -d 'Print JSON instead of text for people'
complete -c yore -n "__fish_yore_using_subcommand pause" -s q -l quiet -d 'Print no progress and nothing that is not asked for'
complete -c yore -n "__fish_yore_using_subcommand pause" -s v -l verbose -d 'Say more, such as everything that is left out'
complete -c yore -n "__fish_yore_using_subcommand pause" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c yore -n "__fish_yore_using_subcommand resume" -s r -l repository -d 'The repository: a folder made by `yore init`; without it, the one of the agent\'s file' -r -F
complete -c yore -n "__fish_yore_using_subcommand resume" -l json -d 'Print JSON instead of text for people'
complete -c yore -n "__fish_yore_using_subcommand resume" -s q -l quiet -d 'Print no progress and nothing that is not asked for'
complete -c yore -n "__fish_yore_using_subcommand resume" -s v -l verbose -d 'Say more, such as everything that is left out'
complete -c yore -n "__fish_yore_using_subcommand resume" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c yore -n "__fish_yore_using_subcommand man" -s r -l repository -d 'The repository: a folder made by `yore init`; without it, the one of the agent\'s file' -r -F
complete -c yore -n "__fish_yore_using_subcommand man" -l json -d 'Print JSON instead of text for people'
complete -c yore -n "__fish_yore_using_subcommand man" -s q -l quiet -d 'Print no progress and nothing that is not asked for'
complete -c yore -n "__fish_yore_using_subcommand man" -s v -l verbose -d 'Say more, such as everything that is left out'
complete -c yore -n "__fish_yore_using_subcommand man" -s h -l help -d 'Print help'
complete -c yore -n "__fish_yore_using_subcommand completions" -s r -l repository -d 'The repository: a folder made by `yore init`; without it, the one of the agent\'s file' -r -F
complete -c yore -n "__fish_yore_using_subcommand completions" -l json -d 'Print JSON instead of text for people'
complete -c yore -n "__fish_yore_using_subcommand completions" -s q -l quiet -d 'Print no progress and nothing that is not asked for'
complete -c yore -n "__fish_yore_using_subcommand completions" -s v -l verbose -d 'Say more, such as everything that is left out'
complete -c yore -n "__fish_yore_using_subcommand completions" -s h -l help -d 'Print help'
complete -c yore -n "__fish_yore_using_subcommand help; and not __fish_seen_subcommand_from init snapshot snapshots ls cat restore diff find log mount umount copy link forget prune verify repair stats include exclude schedule watch run status pause resume man completions help" -f -a "init" -d 'Make a new, empty repository'
complete -c yore -n "__fish_yore_using_subcommand help; and not __fish_seen_subcommand_from init snapshot snapshots ls cat restore diff find log mount umount copy link forget prune verify repair stats include exclude schedule watch run status pause resume man completions help" -f -a "snapshot" -d 'Take a snapshot of files and folders'
complete -c yore -n "__fish_yore_using_subcommand help; and not __fish_seen_subcommand_from init snapshot snapshots ls cat restore diff find log mount umount copy link forget prune verify repair stats include exclude schedule watch run status pause resume man completions help" -f -a "snapshots" -d 'List the snapshots, oldest first'
complete -c yore -n "__fish_yore_using_subcommand help; and not __fish_seen_subcommand_from init snapshot snapshots ls cat restore diff find log mount umount copy link forget prune verify repair stats include exclude schedule watch run status pause resume man completions help" -f -a "ls" -d 'List what is in a folder of a snapshot'
complete -c yore -n "__fish_yore_using_subcommand help; and not __fish_seen_subcommand_from init snapshot snapshots ls cat restore diff find log mount umount copy link forget prune verify repair stats include exclude schedule watch run status pause resume man completions help" -f -a "cat" -d 'Write a file of a snapshot to standard output'
complete -c yore -n "__fish_yore_using_subcommand help; and not __fish_seen_subcommand_from init snapshot snapshots ls cat restore diff find log mount umount copy link forget prune verify repair stats include exclude schedule watch run status pause resume man completions help" -f -a "restore" -d 'Put files of a snapshot back on a disk'
complete -c yore -n "__fish_yore_using_subcommand help; and not __fish_seen_subcommand_from init snapshot snapshots ls cat restore diff find log mount umount copy link forget prune verify repair stats include exclude schedule watch run status pause resume man completions help" -f -a "diff" -d 'Say what differs between two snapshots'
complete -c yore -n "__fish_yore_using_subcommand help; and not __fish_seen_subcommand_from init snapshot snapshots ls cat restore diff find log mount umount copy link forget prune verify repair stats include exclude schedule watch run status pause resume man completions help" -f -a "find" -d 'Find names in every snapshot'
complete -c yore -n "__fish_yore_using_subcommand help; and not __fish_seen_subcommand_from init snapshot snapshots ls cat restore diff find log mount umount copy link forget prune verify repair stats include exclude schedule watch run status pause resume man completions help" -f -a "log" -d 'List the versions of a path, oldest first'
complete -c yore -n "__fish_yore_using_subcommand help; and not __fish_seen_subcommand_from init snapshot snapshots ls cat restore diff find log mount umount copy link forget prune verify repair stats include exclude schedule watch run status pause resume man completions help" -f -a "mount" -d 'Show every snapshot as a folder'
complete -c yore -n "__fish_yore_using_subcommand help; and not __fish_seen_subcommand_from init snapshot snapshots ls cat restore diff find log mount umount copy link forget prune verify repair stats include exclude schedule watch run status pause resume man completions help" -f -a "umount" -d 'Take a mount away'
complete -c yore -n "__fish_yore_using_subcommand help; and not __fish_seen_subcommand_from init snapshot snapshots ls cat restore diff find log mount umount copy link forget prune verify repair stats include exclude schedule watch run status pause resume man completions help" -f -a "copy" -d 'Copy snapshots to a second repository, on another disk or a server'
complete -c yore -n "__fish_yore_using_subcommand help; and not __fish_seen_subcommand_from init snapshot snapshots ls cat restore diff find log mount umount copy link forget prune verify repair stats include exclude schedule watch run status pause resume man completions help" -f -a "link" -d 'Link this machine to a server'
complete -c yore -n "__fish_yore_using_subcommand help; and not __fish_seen_subcommand_from init snapshot snapshots ls cat restore diff find log mount umount copy link forget prune verify repair stats include exclude schedule watch run status pause resume man completions help" -f -a "forget" -d 'Remove snapshots'
complete -c yore -n "__fish_yore_using_subcommand help; and not __fish_seen_subcommand_from init snapshot snapshots ls cat restore diff find log mount umount copy link forget prune verify repair stats include exclude schedule watch run status pause resume man completions help" -f -a "prune" -d 'Remove the snapshots that no rule keeps'
complete -c yore -n "__fish_yore_using_subcommand help; and not __fish_seen_subcommand_from init snapshot snapshots ls cat restore diff find log mount umount copy link forget prune verify repair stats include exclude schedule watch run status pause resume man completions help" -f -a "verify" -d 'Look for damage'
complete -c yore -n "__fish_yore_using_subcommand help; and not __fish_seen_subcommand_from init snapshot snapshots ls cat restore diff find log mount umount copy link forget prune verify repair stats include exclude schedule watch run status pause resume man completions help" -f -a "repair" -d 'Mend a damaged repository'
complete -c yore -n "__fish_yore_using_subcommand help; and not __fish_seen_subcommand_from init snapshot snapshots ls cat restore diff find log mount umount copy link forget prune verify repair stats include exclude schedule watch run status pause resume man completions help" -f -a "stats" -d 'Say how much is stored, and how'
complete -c yore -n "__fish_yore_using_subcommand help; and not __fish_seen_subcommand_from init snapshot snapshots ls cat restore diff find log mount umount copy link forget prune verify repair stats include exclude schedule watch run status pause resume man completions help" -f -a "include" -d 'Say what this machine backs up'
complete -c yore -n "__fish_yore_using_subcommand help; and not __fish_seen_subcommand_from init snapshot snapshots ls cat restore diff find log mount umount copy link forget prune verify repair stats include exclude schedule watch run status pause resume man completions help" -f -a "exclude" -d 'Say what to leave out'
complete -c yore -n "__fish_yore_using_subcommand help; and not __fish_seen_subcommand_from init snapshot snapshots ls cat restore diff find log mount umount copy link forget prune verify repair stats include exclude schedule watch run status pause resume man completions help" -f -a "schedule" -d 'Say when to push by itself'
complete -c yore -n "__fish_yore_using_subcommand help; and not __fish_seen_subcommand_from init snapshot snapshots ls cat restore diff find log mount umount copy link forget prune verify repair stats include exclude schedule watch run status pause resume man completions help" -f -a "watch" -d 'Push by itself, when it is time and when something has changed'
complete -c yore -n "__fish_yore_using_subcommand help; and not __fish_seen_subcommand_from init snapshot snapshots ls cat restore diff find log mount umount copy link forget prune verify repair stats include exclude schedule watch run status pause resume man completions help" -f -a "run" -d 'Push now what the schedule would push'
complete -c yore -n "__fish_yore_using_subcommand help; and not __fish_seen_subcommand_from init snapshot snapshots ls cat restore diff find log mount umount copy link forget prune verify repair stats include exclude schedule watch run status pause resume man completions help" -f -a "status" -d 'Show how it goes with this machine\'s backups'
complete -c yore -n "__fish_yore_using_subcommand help; and not __fish_seen_subcommand_from init snapshot snapshots ls cat restore diff find log mount umount copy link forget prune verify repair stats include exclude schedule watch run status pause resume man completions help" -f -a "pause" -d 'Let `yore watch` push nothing for a while'
complete -c yore -n "__fish_yore_using_subcommand help; and not __fish_seen_subcommand_from init snapshot snapshots ls cat restore diff find log mount umount copy link forget prune verify repair stats include exclude schedule watch run status pause resume man completions help" -f -a "resume" -d 'End a pause'
complete -c yore -n "__fish_yore_using_subcommand help; and not __fish_seen_subcommand_from init snapshot snapshots ls cat restore diff find log mount umount copy link forget prune verify repair stats include exclude schedule watch run status pause resume man completions help" -f -a "man" -d 'Write the man pages into a folder'
complete -c yore -n "__fish_yore_using_subcommand help; and not __fish_seen_subcommand_from init snapshot snapshots ls cat restore diff find log mount umount copy link forget prune verify repair stats include exclude schedule watch run status pause resume man completions help" -f -a "completions" -d 'Write a shell\'s completions to standard output'
complete -c yore -n "__fish_yore_using_subcommand help; and not __fish_seen_subcommand_from init snapshot snapshots ls cat restore diff find log mount umount copy link forget prune verify repair stats include exclude schedule watch run status pause resume man completions help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
