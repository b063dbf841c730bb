# fish completion for memctl(1); installed as /usr/share/fish/vendor_completions.d/memctl.fish

set -l commands status heaps buffers alloc run zram pressure config doctor
complete -c memctl -f
complete -c memctl -l bus -x -a 'system session' -d 'The bus that memd serves'
complete -c memctl -l json -d 'JSON: bytes and seconds'
complete -c memctl -s h -l help -d 'Print help'
complete -c memctl -l version -d 'Print the version'
complete -c memctl -n "not __fish_seen_subcommand_from $commands" -a status -d 'RAM, zram, swap, CMA, heaps and pressure'
complete -c memctl -n "not __fish_seen_subcommand_from $commands" -a heaps -d 'The heaps and what is lent'
complete -c memctl -n "not __fish_seen_subcommand_from $commands" -a buffers -d 'Lent buffers'
complete -c memctl -n "not __fish_seen_subcommand_from $commands" -a alloc -d 'Allocate a buffer, and run a command with it'
complete -c memctl -n "not __fish_seen_subcommand_from $commands" -a run -d 'Run a program unchanged with buffers from memd'
complete -c memctl -n "not __fish_seen_subcommand_from $commands" -a zram -d 'Zram devices and what they cost'
complete -c memctl -n "not __fish_seen_subcommand_from $commands" -a pressure -d 'The level of memory pressure'
complete -c memctl -n "not __fish_seen_subcommand_from $commands" -a config -d 'Check the configuration, or explain a decision'
complete -c memctl -n '__fish_seen_subcommand_from buffers' -l heap -x -d 'Of this heap only'
complete -c memctl -n '__fish_seen_subcommand_from buffers' -l owner -x -d 'Of this owner only'
complete -c memctl -n '__fish_seen_subcommand_from buffers' -l older -x -d 'Lent longer ago than this'
complete -c memctl -n '__fish_seen_subcommand_from alloc' -l name -x -d 'Label for listings'
complete -c memctl -n '__fish_seen_subcommand_from alloc' -a 'system contiguous any'
complete -c memctl -n "not __fish_seen_subcommand_from $commands" -a doctor -d 'Look for what is wrong'
complete -c memctl -n '__fish_seen_subcommand_from doctor' -l all -d 'Notes too'
complete -c memctl -n '__fish_seen_subcommand_from run' -l heap-map -x -d 'OLD=NEW: show a heap under another name'
complete -c memctl -n '__fish_seen_subcommand_from run' -l verbose -d 'Tell each allocation'
complete -c memctl -n '__fish_seen_subcommand_from pressure' -l follow -d 'A line at each change'
complete -c memctl -n '__fish_seen_subcommand_from config' -F -a check
complete -c memctl -n '__fish_seen_subcommand_from config' -l explain -x -a '(__fish_complete_users)' -d 'Which rule decides for a user or PID'
