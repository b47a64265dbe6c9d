# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_yored_global_optspecs
    string join \n c/config= json q/quiet h/help V/version
end

function __fish_yored_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_yored_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_yored_using_subcommand
    set -l cmd (__fish_yored_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c yored -n "__fish_yored_needs_command" -s c -l config -d 'The configuration; /etc/yore/yored.toml if none is named, and defaults if that is not there' -r -F
complete -c yored -n "__fish_yored_needs_command" -l json -d 'Print JSON instead of text for people'
complete -c yored -n "__fish_yored_needs_command" -s q -l quiet -d 'Print nothing that is not asked for'
complete -c yored -n "__fish_yored_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c yored -n "__fish_yored_needs_command" -s V -l version -d 'Print version'
complete -c yored -n "__fish_yored_needs_command" -f -a "serve" -d 'Receive pushes until told to stop'
complete -c yored -n "__fish_yored_needs_command" -f -a "user" -d 'Add, list, change and remove users'
complete -c yored -n "__fish_yored_needs_command" -f -a "invite" -d 'Print the command that links a machine to a user'
complete -c yored -n "__fish_yored_needs_command" -f -a "key" -d 'List and revoke the keys of machines'
complete -c yored -n "__fish_yored_needs_command" -f -a "repo" -d 'List, change and remove repositories'
complete -c yored -n "__fish_yored_needs_command" -f -a "status" -d 'Show who is connected, and each repository\'s last success, last failure, age and size'
complete -c yored -n "__fish_yored_needs_command" -f -a "check" -d 'Say in one line whether all is well, then a line for each repository'
complete -c yored -n "__fish_yored_needs_command" -f -a "mount" -d 'Show every snapshot of every repository as a folder'
complete -c yored -n "__fish_yored_needs_command" -f -a "audit" -d 'Show who did what, from where, and what was before, oldest first'
complete -c yored -n "__fish_yored_needs_command" -f -a "mail" -d 'Try out mail'
complete -c yored -n "__fish_yored_needs_command" -f -a "man" -d 'Write the man pages into a folder'
complete -c yored -n "__fish_yored_needs_command" -f -a "completions" -d 'Write a shell\'s completions to standard output'
complete -c yored -n "__fish_yored_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c yored -n "__fish_yored_using_subcommand serve" -s c -l config -d 'The configuration; /etc/yore/yored.toml if none is named, and defaults if that is not there' -r -F
complete -c yored -n "__fish_yored_using_subcommand serve" -l json -d 'Print JSON instead of text for people'
complete -c yored -n "__fish_yored_using_subcommand serve" -s q -l quiet -d 'Print nothing that is not asked for'
complete -c yored -n "__fish_yored_using_subcommand serve" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c yored -n "__fish_yored_using_subcommand user; and not __fish_seen_subcommand_from add list set del help" -s c -l config -d 'The configuration; /etc/yore/yored.toml if none is named, and defaults if that is not there' -r -F
complete -c yored -n "__fish_yored_using_subcommand user; and not __fish_seen_subcommand_from add list set del help" -l json -d 'Print JSON instead of text for people'
complete -c yored -n "__fish_yored_using_subcommand user; and not __fish_seen_subcommand_from add list set del help" -s q -l quiet -d 'Print nothing that is not asked for'
complete -c yored -n "__fish_yored_using_subcommand user; and not __fish_seen_subcommand_from add list set del help" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c yored -n "__fish_yored_using_subcommand user; and not __fish_seen_subcommand_from add list set del help" -f -a "add" -d 'Add a user'
complete -c yored -n "__fish_yored_using_subcommand user; and not __fish_seen_subcommand_from add list set del help" -f -a "list" -d 'List the users'
complete -c yored -n "__fish_yored_using_subcommand user; and not __fish_seen_subcommand_from add list set del help" -f -a "set" -d 'Change a user; what is not named stays'
complete -c yored -n "__fish_yored_using_subcommand user; and not __fish_seen_subcommand_from add list set del help" -f -a "del" -d 'Remove a user, with keys and invitations'
complete -c yored -n "__fish_yored_using_subcommand user; and not __fish_seen_subcommand_from add list set del help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c yored -n "__fish_yored_using_subcommand user; and __fish_seen_subcommand_from add" -l email -d 'Where mail about this user\'s backups goes, or none' -r
complete -c yored -n "__fish_yored_using_subcommand user; and __fish_seen_subcommand_from add" -l quota -d 'How much all repositories may take together, or none' -r
complete -c yored -n "__fish_yored_using_subcommand user; and __fish_seen_subcommand_from add" -l may-prune -d 'Whether this user\'s machines may forget and prune' -r -f -a "true\t''
false\t''"
complete -c yored -n "__fish_yored_using_subcommand user; and __fish_seen_subcommand_from add" -l may-copy -d 'Whether this user\'s machines may copy snapshots to here (`yore copy`), with the times that those have' -r -f -a "true\t''
false\t''"
complete -c yored -n "__fish_yored_using_subcommand user; and __fish_seen_subcommand_from add" -l unix-user -d 'Who on this server may look into the repositories where they are mounted, or none' -r
complete -c yored -n "__fish_yored_using_subcommand user; and __fish_seen_subcommand_from add" -l disabled -d 'Whether nobody is let in; everything stays' -r -f -a "true\t''
false\t''"
complete -c yored -n "__fish_yored_using_subcommand user; and __fish_seen_subcommand_from add" -s c -l config -d 'The configuration; /etc/yore/yored.toml if none is named, and defaults if that is not there' -r -F
complete -c yored -n "__fish_yored_using_subcommand user; and __fish_seen_subcommand_from add" -l password-stdin -d 'Read a password, the first line of standard input; one can link machines by it'
complete -c yored -n "__fish_yored_using_subcommand user; and __fish_seen_subcommand_from add" -l json -d 'Print JSON instead of text for people'
complete -c yored -n "__fish_yored_using_subcommand user; and __fish_seen_subcommand_from add" -s q -l quiet -d 'Print nothing that is not asked for'
complete -c yored -n "__fish_yored_using_subcommand user; and __fish_seen_subcommand_from add" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c yored -n "__fish_yored_using_subcommand user; and __fish_seen_subcommand_from list" -s c -l config -d 'The configuration; /etc/yore/yored.toml if none is named, and defaults if that is not there' -r -F
complete -c yored -n "__fish_yored_using_subcommand user; and __fish_seen_subcommand_from list" -l json -d 'Print JSON instead of text for people'
complete -c yored -n "__fish_yored_using_subcommand user; and __fish_seen_subcommand_from list" -s q -l quiet -d 'Print nothing that is not asked for'
complete -c yored -n "__fish_yored_using_subcommand user; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c yored -n "__fish_yored_using_subcommand user; and __fish_seen_subcommand_from set" -l email -d 'Where mail about this user\'s backups goes, or none' -r
complete -c yored -n "__fish_yored_using_subcommand user; and __fish_seen_subcommand_from set" -l quota -d 'How much all repositories may take together, or none' -r
complete -c yored -n "__fish_yored_using_subcommand user; and __fish_seen_subcommand_from set" -l may-prune -d 'Whether this user\'s machines may forget and prune' -r -f -a "true\t''
false\t''"
complete -c yored -n "__fish_yored_using_subcommand user; and __fish_seen_subcommand_from set" -l may-copy -d 'Whether this user\'s machines may copy snapshots to here (`yore copy`), with the times that those have' -r -f -a "true\t''
false\t''"
complete -c yored -n "__fish_yored_using_subcommand user; and __fish_seen_subcommand_from set" -l unix-user -d 'Who on this server may look into the repositories where they are mounted, or none' -r
complete -c yored -n "__fish_yored_using_subcommand user; and __fish_seen_subcommand_from set" -l disabled -d 'Whether nobody is let in; everything stays' -r -f -a "true\t''
false\t''"
complete -c yored -n "__fish_yored_using_subcommand user; and __fish_seen_subcommand_from set" -s c -l config -d 'The configuration; /etc/yore/yored.toml if none is named, and defaults if that is not there' -r -F
complete -c yored -n "__fish_yored_using_subcommand user; and __fish_seen_subcommand_from set" -l password-stdin -d 'Read a password, the first line of standard input; one can link machines by it'
complete -c yored -n "__fish_yored_using_subcommand user; and __fish_seen_subcommand_from set" -l no-password -d 'Take the password away'
complete -c yored -n "__fish_yored_using_subcommand user; and __fish_seen_subcommand_from set" -l json -d 'Print JSON instead of text for people'
complete -c yored -n "__fish_yored_using_subcommand user; and __fish_seen_subcommand_from set" -s q -l quiet -d 'Print nothing that is not asked for'
complete -c yored -n "__fish_yored_using_subcommand user; and __fish_seen_subcommand_from set" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c yored -n "__fish_yored_using_subcommand user; and __fish_seen_subcommand_from del" -l yes -d 'With --with-repositories: the name again, instead of being asked for it' -r
complete -c yored -n "__fish_yored_using_subcommand user; and __fish_seen_subcommand_from del" -s c -l config -d 'The configuration; /etc/yore/yored.toml if none is named, and defaults if that is not there' -r -F
complete -c yored -n "__fish_yored_using_subcommand user; and __fish_seen_subcommand_from del" -l with-repositories -d 'Remove all repositories of the user too; this cannot be undone'
complete -c yored -n "__fish_yored_using_subcommand user; and __fish_seen_subcommand_from del" -l json -d 'Print JSON instead of text for people'
complete -c yored -n "__fish_yored_using_subcommand user; and __fish_seen_subcommand_from del" -s q -l quiet -d 'Print nothing that is not asked for'
complete -c yored -n "__fish_yored_using_subcommand user; and __fish_seen_subcommand_from del" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c yored -n "__fish_yored_using_subcommand user; and __fish_seen_subcommand_from help" -f -a "add" -d 'Add a user'
complete -c yored -n "__fish_yored_using_subcommand user; and __fish_seen_subcommand_from help" -f -a "list" -d 'List the users'
complete -c yored -n "__fish_yored_using_subcommand user; and __fish_seen_subcommand_from help" -f -a "set" -d 'Change a user; what is not named stays'
complete -c yored -n "__fish_yored_using_subcommand user; and __fish_seen_subcommand_from help" -f -a "del" -d 'Remove a user, with keys and invitations'
complete -c yored -n "__fish_yored_using_subcommand user; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c yored -n "__fish_yored_using_subcommand invite" -l expires -d 'How long it is good' -r
complete -c yored -n "__fish_yored_using_subcommand invite" -s c -l config -d 'The configuration; /etc/yore/yored.toml if none is named, and defaults if that is not there' -r -F
complete -c yored -n "__fish_yored_using_subcommand invite" -l json -d 'Print JSON instead of text for people'
complete -c yored -n "__fish_yored_using_subcommand invite" -s q -l quiet -d 'Print nothing that is not asked for'
complete -c yored -n "__fish_yored_using_subcommand invite" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c yored -n "__fish_yored_using_subcommand key; and not __fish_seen_subcommand_from list revoke help" -s c -l config -d 'The configuration; /etc/yore/yored.toml if none is named, and defaults if that is not there' -r -F
complete -c yored -n "__fish_yored_using_subcommand key; and not __fish_seen_subcommand_from list revoke help" -l json -d 'Print JSON instead of text for people'
complete -c yored -n "__fish_yored_using_subcommand key; and not __fish_seen_subcommand_from list revoke help" -s q -l quiet -d 'Print nothing that is not asked for'
complete -c yored -n "__fish_yored_using_subcommand key; and not __fish_seen_subcommand_from list revoke help" -s h -l help -d 'Print help'
complete -c yored -n "__fish_yored_using_subcommand key; and not __fish_seen_subcommand_from list revoke help" -f -a "list" -d 'List the keys'
complete -c yored -n "__fish_yored_using_subcommand key; and not __fish_seen_subcommand_from list revoke help" -f -a "revoke" -d 'Revoke a key: its machine is let in no more'
complete -c yored -n "__fish_yored_using_subcommand key; and not __fish_seen_subcommand_from list revoke help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c yored -n "__fish_yored_using_subcommand key; and __fish_seen_subcommand_from list" -s c -l config -d 'The configuration; /etc/yore/yored.toml if none is named, and defaults if that is not there' -r -F
complete -c yored -n "__fish_yored_using_subcommand key; and __fish_seen_subcommand_from list" -l json -d 'Print JSON instead of text for people'
complete -c yored -n "__fish_yored_using_subcommand key; and __fish_seen_subcommand_from list" -s q -l quiet -d 'Print nothing that is not asked for'
complete -c yored -n "__fish_yored_using_subcommand key; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c yored -n "__fish_yored_using_subcommand key; and __fish_seen_subcommand_from revoke" -s c -l config -d 'The configuration; /etc/yore/yored.toml if none is named, and defaults if that is not there' -r -F
complete -c yored -n "__fish_yored_using_subcommand key; and __fish_seen_subcommand_from revoke" -l json -d 'Print JSON instead of text for people'
complete -c yored -n "__fish_yored_using_subcommand key; and __fish_seen_subcommand_from revoke" -s q -l quiet -d 'Print nothing that is not asked for'
complete -c yored -n "__fish_yored_using_subcommand key; and __fish_seen_subcommand_from revoke" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c yored -n "__fish_yored_using_subcommand key; and __fish_seen_subcommand_from help" -f -a "list" -d 'List the keys'
complete -c yored -n "__fish_yored_using_subcommand key; and __fish_seen_subcommand_from help" -f -a "revoke" -d 'Revoke a key: its machine is let in no more'
complete -c yored -n "__fish_yored_using_subcommand key; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c yored -n "__fish_yored_using_subcommand repo; and not __fish_seen_subcommand_from list set forget del help" -s c -l config -d 'The configuration; /etc/yore/yored.toml if none is named, and defaults if that is not there' -r -F
complete -c yored -n "__fish_yored_using_subcommand repo; and not __fish_seen_subcommand_from list set forget del help" -l json -d 'Print JSON instead of text for people'
complete -c yored -n "__fish_yored_using_subcommand repo; and not __fish_seen_subcommand_from list set forget del help" -s q -l quiet -d 'Print nothing that is not asked for'
complete -c yored -n "__fish_yored_using_subcommand repo; and not __fish_seen_subcommand_from list set forget del help" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c yored -n "__fish_yored_using_subcommand repo; and not __fish_seen_subcommand_from list set forget del help" -f -a "list" -d 'List the repositories'
complete -c yored -n "__fish_yored_using_subcommand repo; and not __fish_seen_subcommand_from list set forget del help" -f -a "set" -d 'Change a repository; what is not named stays'
complete -c yored -n "__fish_yored_using_subcommand repo; and not __fish_seen_subcommand_from list set forget del help" -f -a "forget" -d 'Remove snapshots, also those that are younger than the server keeps'
complete -c yored -n "__fish_yored_using_subcommand repo; and not __fish_seen_subcommand_from list set forget del help" -f -a "del" -d 'Remove a repository, with everything in it'
complete -c yored -n "__fish_yored_using_subcommand repo; and not __fish_seen_subcommand_from list set forget del help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c yored -n "__fish_yored_using_subcommand repo; and __fish_seen_subcommand_from list" -s c -l config -d 'The configuration; /etc/yore/yored.toml if none is named, and defaults if that is not there' -r -F
complete -c yored -n "__fish_yored_using_subcommand repo; and __fish_seen_subcommand_from list" -l json -d 'Print JSON instead of text for people'
complete -c yored -n "__fish_yored_using_subcommand repo; and __fish_seen_subcommand_from list" -s q -l quiet -d 'Print nothing that is not asked for'
complete -c yored -n "__fish_yored_using_subcommand repo; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c yored -n "__fish_yored_using_subcommand repo; and __fish_seen_subcommand_from set" -l keep-last -d 'Keep this many of the newest' -r
complete -c yored -n "__fish_yored_using_subcommand repo; and __fish_seen_subcommand_from set" -l keep-hourly -d 'Keep the newest of each of this many hours' -r
complete -c yored -n "__fish_yored_using_subcommand repo; and __fish_seen_subcommand_from set" -l keep-daily -d 'Keep the newest of each of this many days' -r
complete -c yored -n "__fish_yored_using_subcommand repo; and __fish_seen_subcommand_from set" -l keep-weekly -d 'Keep the newest of each of this many weeks' -r
complete -c yored -n "__fish_yored_using_subcommand repo; and __fish_seen_subcommand_from set" -l keep-monthly -d 'Keep the newest of each of this many months' -r
complete -c yored -n "__fish_yored_using_subcommand repo; and __fish_seen_subcommand_from set" -l keep-yearly -d 'Keep the newest of each of this many years' -r
complete -c yored -n "__fish_yored_using_subcommand repo; and __fish_seen_subcommand_from set" -l keep-within -d 'Keep all that are younger than this, counted back from the newest: 30d, 2w, 6m, 1y5m7d2h' -r
complete -c yored -n "__fish_yored_using_subcommand repo; and __fish_seen_subcommand_from set" -l keep-at-least -d 'A snapshot younger than this goes only by the administrator\'s hand; default: as configured' -r
complete -c yored -n "__fish_yored_using_subcommand repo; and __fish_seen_subcommand_from set" -l max-age -d 'Without a success for longer than this it is overdue; default: as configured' -r
complete -c yored -n "__fish_yored_using_subcommand repo; and __fish_seen_subcommand_from set" -l skip-weekdays -d 'Days that do not count for that: sat,sun; none; default: as configured' -r
complete -c yored -n "__fish_yored_using_subcommand repo; and __fish_seen_subcommand_from set" -s c -l config -d 'The configuration; /etc/yore/yored.toml if none is named, and defaults if that is not there' -r -F
complete -c yored -n "__fish_yored_using_subcommand repo; and __fish_seen_subcommand_from set" -l keep-all -d 'Prune nothing here'
complete -c yored -n "__fish_yored_using_subcommand repo; and __fish_seen_subcommand_from set" -l keep-default -d 'Keep what the configuration says'
complete -c yored -n "__fish_yored_using_subcommand repo; and __fish_seen_subcommand_from set" -l resume-pruning -d 'Prune again, after it was suspended because most files had vanished or changed'
complete -c yored -n "__fish_yored_using_subcommand repo; and __fish_seen_subcommand_from set" -l json -d 'Print JSON instead of text for people'
complete -c yored -n "__fish_yored_using_subcommand repo; and __fish_seen_subcommand_from set" -s q -l quiet -d 'Print nothing that is not asked for'
complete -c yored -n "__fish_yored_using_subcommand repo; and __fish_seen_subcommand_from set" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c yored -n "__fish_yored_using_subcommand repo; and __fish_seen_subcommand_from forget" -l yes -d 'The repository\'s name again, instead of being asked for it' -r
complete -c yored -n "__fish_yored_using_subcommand repo; and __fish_seen_subcommand_from forget" -s c -l config -d 'The configuration; /etc/yore/yored.toml if none is named, and defaults if that is not there' -r -F
complete -c yored -n "__fish_yored_using_subcommand repo; and __fish_seen_subcommand_from forget" -l json -d 'Print JSON instead of text for people'
complete -c yored -n "__fish_yored_using_subcommand repo; and __fish_seen_subcommand_from forget" -s q -l quiet -d 'Print nothing that is not asked for'
complete -c yored -n "__fish_yored_using_subcommand repo; and __fish_seen_subcommand_from forget" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c yored -n "__fish_yored_using_subcommand repo; and __fish_seen_subcommand_from del" -l yes -d 'The name again, instead of being asked for it' -r
complete -c yored -n "__fish_yored_using_subcommand repo; and __fish_seen_subcommand_from del" -s c -l config -d 'The configuration; /etc/yore/yored.toml if none is named, and defaults if that is not there' -r -F
complete -c yored -n "__fish_yored_using_subcommand repo; and __fish_seen_subcommand_from del" -l json -d 'Print JSON instead of text for people'
complete -c yored -n "__fish_yored_using_subcommand repo; and __fish_seen_subcommand_from del" -s q -l quiet -d 'Print nothing that is not asked for'
complete -c yored -n "__fish_yored_using_subcommand repo; and __fish_seen_subcommand_from del" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c yored -n "__fish_yored_using_subcommand repo; and __fish_seen_subcommand_from help" -f -a "list" -d 'List the repositories'
complete -c yored -n "__fish_yored_using_subcommand repo; and __fish_seen_subcommand_from help" -f -a "set" -d 'Change a repository; what is not named stays'
complete -c yored -n "__fish_yored_using_subcommand repo; and __fish_seen_subcommand_from help" -f -a "forget" -d 'Remove snapshots, also those that are younger than the server keeps'
complete -c yored -n "__fish_yored_using_subcommand repo; and __fish_seen_subcommand_from help" -f -a "del" -d 'Remove a repository, with everything in it'
complete -c yored -n "__fish_yored_using_subcommand repo; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c yored -n "__fish_yored_using_subcommand status" -s c -l config -d 'The configuration; /etc/yore/yored.toml if none is named, and defaults if that is not there' -r -F
complete -c yored -n "__fish_yored_using_subcommand status" -l json -d 'Print JSON instead of text for people'
complete -c yored -n "__fish_yored_using_subcommand status" -s q -l quiet -d 'Print nothing that is not asked for'
complete -c yored -n "__fish_yored_using_subcommand status" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c yored -n "__fish_yored_using_subcommand check" -s c -l config -d 'The configuration; /etc/yore/yored.toml if none is named, and defaults if that is not there' -r -F
complete -c yored -n "__fish_yored_using_subcommand check" -l nagios -d 'Print as a plugin of Nagios does, with figures behind the headline'
complete -c yored -n "__fish_yored_using_subcommand check" -l json -d 'Print JSON instead of text for people'
complete -c yored -n "__fish_yored_using_subcommand check" -s q -l quiet -d 'Print nothing that is not asked for'
complete -c yored -n "__fish_yored_using_subcommand check" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c yored -n "__fish_yored_using_subcommand mount" -s c -l config -d 'The configuration; /etc/yore/yored.toml if none is named, and defaults if that is not there' -r -F
complete -c yored -n "__fish_yored_using_subcommand mount" -l json -d 'Print JSON instead of text for people'
complete -c yored -n "__fish_yored_using_subcommand mount" -s q -l quiet -d 'Print nothing that is not asked for'
complete -c yored -n "__fish_yored_using_subcommand mount" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c yored -n "__fish_yored_using_subcommand audit" -l since -d 'From when on: 7d (ago), 2026-11-20, 2026-11-20T18:00; without it, the newest 100 lines' -r
complete -c yored -n "__fish_yored_using_subcommand audit" -l limit -d 'At most so many, the newest' -r
complete -c yored -n "__fish_yored_using_subcommand audit" -s c -l config -d 'The configuration; /etc/yore/yored.toml if none is named, and defaults if that is not there' -r -F
complete -c yored -n "__fish_yored_using_subcommand audit" -l json -d 'Print JSON instead of text for people'
complete -c yored -n "__fish_yored_using_subcommand audit" -s q -l quiet -d 'Print nothing that is not asked for'
complete -c yored -n "__fish_yored_using_subcommand audit" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c yored -n "__fish_yored_using_subcommand mail; and not __fish_seen_subcommand_from test help" -s c -l config -d 'The configuration; /etc/yore/yored.toml if none is named, and defaults if that is not there' -r -F
complete -c yored -n "__fish_yored_using_subcommand mail; and not __fish_seen_subcommand_from test help" -l json -d 'Print JSON instead of text for people'
complete -c yored -n "__fish_yored_using_subcommand mail; and not __fish_seen_subcommand_from test help" -s q -l quiet -d 'Print nothing that is not asked for'
complete -c yored -n "__fish_yored_using_subcommand mail; and not __fish_seen_subcommand_from test help" -s h -l help -d 'Print help'
complete -c yored -n "__fish_yored_using_subcommand mail; and not __fish_seen_subcommand_from test help" -f -a "test" -d 'Send a letter and say what the mail server answered'
complete -c yored -n "__fish_yored_using_subcommand mail; and not __fish_seen_subcommand_from test help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c yored -n "__fish_yored_using_subcommand mail; and __fish_seen_subcommand_from test" -s c -l config -d 'The configuration; /etc/yore/yored.toml if none is named, and defaults if that is not there' -r -F
complete -c yored -n "__fish_yored_using_subcommand mail; and __fish_seen_subcommand_from test" -l json -d 'Print JSON instead of text for people'
complete -c yored -n "__fish_yored_using_subcommand mail; and __fish_seen_subcommand_from test" -s q -l quiet -d 'Print nothing that is not asked for'
complete -c yored -n "__fish_yored_using_subcommand mail; and __fish_seen_subcommand_from test" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c yored -n "__fish_yored_using_subcommand mail; and __fish_seen_subcommand_from help" -f -a "test" -d 'Send a letter and say what the mail server answered'
complete -c yored -n "__fish_yored_using_subcommand mail; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c yored -n "__fish_yored_using_subcommand man" -s c -l config -d 'The configuration; /etc/yore/yored.toml if none is named, and defaults if that is not there' -r -F
complete -c yored -n "__fish_yored_using_subcommand man" -l json -d 'Print JSON instead of text for people'
complete -c yored -n "__fish_yored_using_subcommand man" -s q -l quiet -d 'Print nothing that is not asked for'
complete -c yored -n "__fish_yored_using_subcommand man" -s h -l help -d 'Print help'
complete -c yored -n "__fish_yored_using_subcommand completions" -s c -l config -d 'The configuration; /etc/yore/yored.toml if none is named, and defaults if that is not there' -r -F
complete -c yored -n "__fish_yored_using_subcommand completions" -l json -d 'Print JSON instead of text for people'
complete -c yored -n "__fish_yored_using_subcommand completions" -s q -l quiet -d 'Print nothing that is not asked for'
complete -c yored -n "__fish_yored_using_subcommand completions" -s h -l help -d 'Print help'
complete -c yored -n "__fish_yored_using_subcommand help; and not __fish_seen_subcommand_from serve user invite key repo status check mount audit mail man completions help" -f -a "serve" -d 'Receive pushes until told to stop'
complete -c yored -n "__fish_yored_using_subcommand help; and not __fish_seen_subcommand_from serve user invite key repo status check mount audit mail man completions help" -f -a "user" -d 'Add, list, change and remove users'
complete -c yored -n "__fish_yored_using_subcommand help; and not __fish_seen_subcommand_from serve user invite key repo status check mount audit mail man completions help" -f -a "invite" -d 'Print the command that links a machine to a user'
complete -c yored -n "__fish_yored_using_subcommand help; and not __fish_seen_subcommand_from serve user invite key repo status check mount audit mail man completions help" -f -a "key" -d 'List and revoke the keys of machines'
complete -c yored -n "__fish_yored_using_subcommand help; and not __fish_seen_subcommand_from serve user invite key repo status check mount audit mail man completions help" -f -a "repo" -d 'List, change and remove repositories'
complete -c yored -n "__fish_yored_using_subcommand help; and not __fish_seen_subcommand_from serve user invite key repo status check mount audit mail man completions help" -f -a "status" -d 'Show who is connected, and each repository\'s last success, last failure, age and size'
complete -c yored -n "__fish_yored_using_subcommand help; and not __fish_seen_subcommand_from serve user invite key repo status check mount audit mail man completions help" -f -a "check" -d 'Say in one line whether all is well, then a line for each repository'
complete -c yored -n "__fish_yored_using_subcommand help; and not __fish_seen_subcommand_from serve user invite key repo status check mount audit mail man completions help" -f -a "mount" -d 'Show every snapshot of every repository as a folder'
complete -c yored -n "__fish_yored_using_subcommand help; and not __fish_seen_subcommand_from serve user invite key repo status check mount audit mail man completions help" -f -a "audit" -d 'Show who did what, from where, and what was before, oldest first'
complete -c yored -n "__fish_yored_using_subcommand help; and not __fish_seen_subcommand_from serve user invite key repo status check mount audit mail man completions help" -f -a "mail" -d 'Try out mail'
complete -c yored -n "__fish_yored_using_subcommand help; and not __fish_seen_subcommand_from serve user invite key repo status check mount audit mail man completions help" -f -a "man" -d 'Write the man pages into a folder'
complete -c yored -n "__fish_yored_using_subcommand help; and not __fish_seen_subcommand_from serve user invite key repo status check mount audit mail man completions help" -f -a "completions" -d 'Write a shell\'s completions to standard output'
complete -c yored -n "__fish_yored_using_subcommand help; and not __fish_seen_subcommand_from serve user invite key repo status check mount audit mail man completions help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c yored -n "__fish_yored_using_subcommand help; and __fish_seen_subcommand_from user" -f -a "add" -d 'Add a user'
complete -c yored -n "__fish_yored_using_subcommand help; and __fish_seen_subcommand_from user" -f -a "list" -d 'List the users'
complete -c yored -n "__fish_yored_using_subcommand help; and __fish_seen_subcommand_from user" -f -a "set" -d 'Change a user; what is not named stays'
complete -c yored -n "__fish_yored_using_subcommand help; and __fish_seen_subcommand_from user" -f -a "del" -d 'Remove a user, with keys and invitations'
complete -c yored -n "__fish_yored_using_subcommand help; and __fish_seen_subcommand_from key" -f -a "list" -d 'List the keys'
complete -c yored -n "__fish_yored_using_subcommand help; and __fish_seen_subcommand_from key" -f -a "revoke" -d 'Revoke a key: its machine is let in no more'
complete -c yored -n "__fish_yored_using_subcommand help; and __fish_seen_subcommand_from repo" -f -a "list" -d 'List the repositories'
complete -c yored -n "__fish_yored_using_subcommand help; and __fish_seen_subcommand_from repo" -f -a "set" -d 'Change a repository; what is not named stays'
complete -c yored -n "__fish_yored_using_subcommand help; and __fish_seen_subcommand_from repo" -f -a "forget" -d 'Remove snapshots, also those that are younger than the server keeps'
complete -c yored -n "__fish_yored_using_subcommand help; and __fish_seen_subcommand_from repo" -f -a "del" -d 'Remove a repository, with everything in it'
complete -c yored -n "__fish_yored_using_subcommand help; and __fish_seen_subcommand_from mail" -f -a "test" -d 'Send a letter and say what the mail server answered'
