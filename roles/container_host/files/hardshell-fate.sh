#!/bin/sh
# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# The shared fate of containers at run time, as a service of the VM. Run it as root, without arguments, while the engine runs; it ends with the engine's
# event stream and is started again by its supervisor. Needs a POSIX shell, awk and Docker's command line.
#
# A set that shares one fate carries its reaction on each container, as the label hardshell.fate: restart, stop or stop-vm. A member fails when it ends with
# an error and the engine does not start it again, when it keeps ending, when it cannot be started, or when it is unhealthy. Who stops a member, by the engine
# or with a signal that ends it, does so on purpose: that is no failure. While a deploy is under way (it names containers SET_MEMBER.new and .old), nothing
# is done.
set -u

# Seconds from a failure to the reaction, doubled with every reaction of the last hour, up to the longest pause.
PAUSE=${HARDSHELL_FATE_PAUSE:-2}
LONGEST_PAUSE=${HARDSHELL_FATE_LONGEST_PAUSE:-300}
# As many ends in so many seconds are a failure, although the engine starts the member again.
CRASHES=${HARDSHELL_FATE_CRASHES:-5}
CRASH_SECONDS=${HARDSHELL_FATE_CRASH_SECONDS:-600}
# How long the consumers of a restarted member wait for it to be healthy, and how long a deploy is waited for.
HEALTHY_SECONDS=${HARDSHELL_FATE_HEALTHY_SECONDS:-120}
DEPLOY_SECONDS=${HARDSHELL_FATE_DEPLOY_SECONDS:-900}
STOP_VM=${HARDSHELL_FATE_STOP_VM:-systemctl poweroff}
# What must outlive this process, and the VM's reboot: marks of what happened to a container, and of a restart that is under way.
STATE=${STATE_DIRECTORY:-/var/lib/hardshell-fate}

MEMBER='{{.Name}} {{.ID}} {{.State.Status}} {{if .State.Health}}{{.State.Health.Status}}{{else}}none{{end}} {{.State.ExitCode}}'
MEMBER="$MEMBER {{or .HostConfig.RestartPolicy.Name \"no\"}} {{if .State.Error}}unstartable{{else}}-{{end}}"
EVENT='{{.TimeNano}} {{.Actor.ID}} {{index .Actor.Attributes "hardshell.set"}} {{or (index .Actor.Attributes "signal") (index .Actor.Attributes "exitCode") "-"}} {{.Actor.Attributes.name}} {{.Action}}'

say() {
    printf '%s\n' "$*"
}

# The members of set $1, providers first: name, id, state, health, exit code, restart policy, and whether the engine could not start it.
members() {
    # shellcheck disable=SC2046 # one word each
    set -- $(docker ps --all --no-trunc --filter "label=hardshell.set=$1" --filter label=hardshell.fate \
        --format '{{.Names}} {{.ID}} {{.Label "hardshell.member"}} {{or (.Label "hardshell.known-as") (.Label "hardshell.member")}} {{.Label "hardshell.links"}}' |
        grep -Ev '^[^ ]*\.(new|old) ' | in_order)
    [ $# = 0 ] || docker inspect --format "$MEMBER" "$@" 2>/dev/null | sed 's,^/,,'
}

# Lines of name, id, member, what its consumers call it (replicas share that) and links (provider:alias,...), as ids with the providers first.
in_order() {
    awk '
        { id[$3] = $2; called[$4] = called[$4] " " $3; links[$3] = $5; given[NR] = $3 }
        function visit(member,    count, i, provider, part, replicas, j, replica) {
            if (seen[member]++) return
            count = split(links[member], provider, ",")
            for (i = 1; i <= count; i++) {
                split(provider[i], part, ":")
                replicas = split(called[part[1]], replica, " ")
                for (j = 1; j <= replicas; j++) visit(replica[j])
            }
            print id[member]
        }
        END { for (i = 1; i <= NR; i++) visit(given[i]) }'
}

reversed() {
    awk '{ line[NR] = $0 } END { for (i = NR; i > 0; i--) print line[i] }'
}

deploying() {
    docker ps --all --filter "label=hardshell.set=$1" --format '{{.Names}}' | grep -Eq '\.(new|old)$'
}

# The first thing that is wrong with set $1. Fails when nothing is, or when somebody has stopped the rest of it.
broken() {
    members "$1" | {
        what='' running=0 stopped=0
        while read -r name id state health code policy start; do
            case $state in
                running | restarting | paused) running=1 ;;
            esac
            if [ -e "$STATE/$id.crashes" ] && [ "$(wc -l <"$STATE/$id.crashes")" -ge "$CRASHES" ]; then
                : "${what:=$name keeps ending, last with exit code $(tail -n 1 "$STATE/$id.crashes" | cut -d " " -f 2)}"
            elif [ "$state" = running ]; then
                [ "$health" != unhealthy ] || : "${what:=$name is unhealthy}"
            elif [ "$state" != restarting ] && [ "$state" != paused ]; then
                if [ "$start" = unstartable ]; then
                    : "${what:=$name cannot be started}"
                elif [ -e "$STATE/$id.ended" ] && [ "$code" != 0 ]; then
                    : "${what:=$name ended with exit code $code}"
                elif [ "$code" != 0 ] || [ "$policy" = always ] || [ "$policy" = unless-stopped ]; then
                    stopped=1
                fi
            fi
        done
        [ -n "$what" ] && { [ $running = 1 ] || [ $stopped = 0 ]; } && say "$what"
    }
}

# The members of set $1 that ought to run: those that do, and those that failed. Not what has done its work, and not what somebody has stopped.
wanted() {
    members "$1" | while read -r name id state health code policy start; do
        case $state in
            running | restarting) say "$name" ;;
            exited | dead | created)
                if [ "$start" = unstartable ] || { [ -e "$STATE/$id.ended" ] && [ "$code" != 0 ]; }; then say "$name"; fi
                ;;
        esac
    done
}

running() {
    members "$1" | awk '$3 == "running" || $3 == "restarting" || $3 == "paused" { print $1 }'
}

# The seconds to wait before the next reaction of set $1, which are more with each one of the last hour.
pause() {
    awk -v now="$(date +%s)" -v pause="$PAUSE" -v longest="$LONGEST_PAUSE" \
        'now - $1 < 3600 { pause *= 2 } END { print pause < longest ? pause : longest }' "$STATE/$1.reactions" 2>/dev/null || say "$PAUSE"
}

# Forget the failures of set $1: what comes next is judged anew.
forgive() {
    members "$1" | while read -r name id state; do rm -f "$STATE/$id.ended" "$STATE/$id.crashes"; done
}

# Start the members of set $1 that $STATE/$1.restarting names, each once what it links to is healthy.
start_all() {
    while read -r name; do
        if deploying "$1"; then
            say "set $1: a deploy has begun; the rest is left to it"
            break
        fi
        if docker start "$name" >/dev/null; then
            left=$HEALTHY_SECONDS
            while [ "$(docker inspect --format '{{if .State.Health}}{{.State.Health.Status}}{{end}}' "$name")" = starting ] && [ "$left" -gt 0 ]; do
                sleep 1
                left=$((left - 1))
            done
        else
            say "set $1: $name could not be started"
        fi
    done <"$STATE/$1.restarting"
    rm -f "$STATE/$1.restarting"
    say "set $1: started"
}

stop_all() {
    running "$1" | reversed | while read -r name; do
        docker stop "$name" >/dev/null || say "set $1: $name could not be stopped"
    done
}

# Carry out the reaction of set $1, because of $2. Fails when there is nothing left to look after.
carry_out() {
    reaction=$(docker ps --all --filter "label=hardshell.set=$1" --filter label=hardshell.fate --format '{{.Label "hardshell.fate"}}' | head -n 1)
    date +%s >>"$STATE/$1.reactions"
    case $reaction in
        restart)
            say "set $1: $2; restarting the set"
            # Written before the first member is stopped: the next start of this service finishes a restart that is cut off.
            wanted "$1" >"$STATE/$1.wanted" && mv "$STATE/$1.wanted" "$STATE/$1.restarting"
            stop_all "$1"
            forgive "$1"
            start_all "$1"
            ;;
        stop)
            say "set $1: $2; stopping the set"
            stop_all "$1"
            forgive "$1"
            say "set $1: stopped"
            return 1
            ;;
        stop-vm)
            say "set $1: $2; stopping the VM"
            forgive "$1"
            sync
            ! sh -c "$STOP_VM" || return 1
            say "set $1: the VM could not be stopped"
            ;;
        *)
            say "set $1: $2; its reaction '$reaction' is not known"
            return 1
            ;;
    esac
}

# See to set $1 until nothing is wrong with it: in a process of its own, one at a time.
see_to() {
    touch "$STATE/$1.again"
    mkdir "$STATE/$1.busy" 2>/dev/null || return 0
    while [ -e "$STATE/$1.again" ]; do
        rm -f "$STATE/$1.again"
        sleep "$(pause "$1")"
        waited=0
        while deploying "$1" && [ "$waited" -lt "$DEPLOY_SECONDS" ]; do
            sleep 1
            waited=$((waited + 1))
        done
        if what=$(broken "$1") && carry_out "$1" "$what"; then
            touch "$STATE/$1.again"
        fi
    done
    rmdir "$STATE/$1.busy"
    # What came between the last look and here.
    [ ! -e "$STATE/$1.again" ] || see_to "$1"
}

# Keep the ends of container $1 in the last CRASH_SECONDS, this one with exit code $2 among them.
count_end() {
    now=$(date +%s)
    {
        awk -v now="$now" -v window="$CRASH_SECONDS" 'now - $1 < window' "$STATE/$1.crashes" 2>/dev/null
        say "$now $2"
    } >"$STATE/$1.crashes.new"
    mv "$STATE/$1.crashes.new" "$STATE/$1.crashes"
}

# Take note of one event: container $1 of set $2, called $3, its signal or exit code $4 and what happened $5.
note() {
    id=$1 set=$2 name=$3 number=$4 action=$5
    case $name in
        *.new | *.old) return ;;
    esac
    case $action in
        kill)
            case $number in
                # Signals that usually do not end a process: HUP, USR1, USR2, CHLD, CONT, WINCH.
                1 | 10 | 12 | 17 | 18 | 28) ;;
                *) touch "$STATE/$id.stopped" ;;
            esac
            ;;
        die)
            if [ ! -e "$STATE/$id.stopped" ]; then
                touch "$STATE/$id.ended"
                count_end "$id" "$number"
                see_to "$set" &
            fi
            ;;
        oom) say "set $set: $name ran out of memory" ;;
        'health_status: unhealthy') see_to "$set" & ;;
        start) rm -f "$STATE/$id.stopped" "$STATE/$id.ended" ;;
        destroy) rm -f "$STATE/$id".* ;;
    esac
}

main() {
    mkdir -p "$STATE" || exit 1
    rm -rf "$STATE"/*.busy "$STATE"/*.again
    since=$(cat "$STATE/since" 2>/dev/null || date +%s)
    for set in $(docker ps --all --filter label=hardshell.fate --format '{{.Label "hardshell.set"}}' | sort -u); do
        # The engine, or somebody else, has started these while nobody looked.
        members "$set" | awk '$3 == "running" { print $2 }' | while read -r id; do rm -f "$STATE/$id.stopped" "$STATE/$id.ended"; done
        if [ -e "$STATE/$set.restarting" ]; then
            say "set $set: finishing a restart that was cut off"
            start_all "$set"
        fi
        see_to "$set" &
    done
    say "watching the sets that share one fate"
    docker events --since "$since" --filter type=container --filter label=hardshell.fate \
        --filter event=kill --filter event=die --filter event=oom --filter event=health_status --filter event=start --filter event=destroy \
        --format "$EVENT" | while read -r nano id set number name action; do
        case $set in
            '' | *[!a-z0-9-]*) continue ;;
        esac
        note "$id" "$set" "$name" "$number" "$action"
        say "${nano%?????????}.${nano#"${nano%?????????}"}" >"$STATE/since"
    done
    say "the engine has ended its stream of events"
}

main
