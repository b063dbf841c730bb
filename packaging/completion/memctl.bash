# bash completion for memctl(1); installed as /usr/share/bash-completion/completions/memctl

_memctl_heaps() {
    memctl "$@" heaps --json 2>/dev/null | sed -n 's/^ *"name": "\([^"\\]*\)".*/\1/p'
}

_memctl() {
    local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]}
    local command='' index words=() bus=()
    COMPREPLY=()
    for ((index = 1; index < COMP_CWORD; index++)); do
        case ${COMP_WORDS[index]} in
            --)
                if declare -F _command_offset >/dev/null; then _command_offset $((index + 1)); fi
                return
                ;;
            --bus)
                bus=(--bus "${COMP_WORDS[index + 1]}")
                ((index++))
                ;;
            --heap | --owner | --older | --write-off | --name | --heap-map | --tree | --base | --moved | --sarif | --overlay | -I | --include | --ram | --pageblock | --cma | --kernel | --log | --add | --grow | --move | --set-cma | --size | --kind | --at | --within | --alignment | --label | --may-move | --output | -o | --svg | --html | --plan) ((index++)) ;;
            -*) ;;
            *) if [[ -z $command ]]; then command=${COMP_WORDS[index]}; else words+=("${COMP_WORDS[index]}"); fi ;;
        esac
    done
    case $previous in
        --bus) mapfile -t COMPREPLY < <(compgen -W 'system session' -- "$current"); return ;;
        --heap) mapfile -t COMPREPLY < <(compgen -W "$(_memctl_heaps "${bus[@]}")" -- "$current"); return ;;
        --owner | --older | --write-off | --name | --heap-map | --moved | --ram | --pageblock | --cma | --kernel | --add | --grow | --move | --set-cma | --size | --at | --within | --alignment | --label | --may-move) return ;;
        --kind) mapfile -t COMPREPLY < <(compgen -W 'carve-out cma' -- "$current"); return ;;
        --tree | --base | --sarif | --overlay | -I | --include | --log | --output | -o | --svg | --html | --plan)
            compopt -o filenames 2>/dev/null
            mapfile -t COMPREPLY < <(compgen -f -- "$current")
            return
            ;;
    esac
    local options='--bus --json --help'
    case $command in
        '') options="status heaps buffers alloc run zram cma pressure map config doctor report monitor metrics $options --version" ;;
        buffers) options="--heap --owner --older --holders --write-off $options" ;;
        alloc)
            options="--name $options"
            if ((${#words[@]} == 0)); then options="system contiguous any $(_memctl_heaps "${bus[@]}") $options"; fi
            if ((${#words[@]} == 2)); then options="-- $options"; fi
            ;;
        report) options="--html --since $options" ;;
        doctor) options="--all $options" ;;
        run) options="--heap-map --verbose -- $options" ;;
        zram)
            case ${#words[@]} in
                0) options="set --watch $options" ;;
                1) options="$(cd /sys/block 2>/dev/null && ls -d zram* 2>/dev/null) $options" ;;
                *) options="Size= Algorithms= Recompress= MemLimit= BackingDevice= Priority= Discard= --force --no-wait $options" ;;
            esac
            ;;
        cma) options="--advise $options" ;;
        monitor) options="--interval $options" ;;
        metrics) options="--textfile --listen --socket $options" ;;
        pressure) options="--follow --history $options" ;;
        map)
            local tree='--overlay -I --include --ram --pageblock --cma --kernel --log'
            case ${words[0]:-} in
                '') options="check plan verify --tree --svg --html $tree $options" ;;
                plan)
                    options="--add --grow --move --heap --set-cma --size --kind --at --within --alignment --label $options"
                    options="--may-move --output -o --svg --html $tree $options"
                    ;;
                verify) options="--all $options" ;;
                check) options="--base --moved --plan --sarif --strict --rules $tree $options" ;;
            esac
            if ((${#words[@]})) && [[ $current != -* ]]; then
                compopt -o filenames 2>/dev/null
                mapfile -t COMPREPLY < <(compgen -f -- "$current")
                return
            fi
            ;;
        config)
            if [[ " ${COMP_WORDS[*]:0:COMP_CWORD} " == *' --explain '* ]]; then
                case ${#words[@]} in
                    0) options=$(compgen -u) ;;
                    1) options="system contiguous any $(_memctl_heaps "${bus[@]}")" ;;
                esac
            elif ((${#words[@]} == 0)); then
                options="check import --explain $options"
            elif ((${#words[@]} == 1)) && [[ $current != -* ]]; then
                compopt -o filenames 2>/dev/null
                mapfile -t COMPREPLY < <(compgen -f -- "$current")
                return
            fi
            ;;
    esac
    mapfile -t COMPREPLY < <(compgen -W "$options" -- "$current")
}

complete -F _memctl memctl
