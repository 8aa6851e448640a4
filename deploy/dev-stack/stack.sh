#!/usr/bin/env bash
# Development servers (PostgreSQL, Redis, RabbitMQ) for one checkout.
#
#   stack.sh up                 start what is missing; safe to repeat, and from several shells at once
#   stack.sh down               stop what this checkout started; the data stays
#   stack.sh status             what runs and where; exit code 3 when something is down
#   stack.sh env | envfile      the exports, or the file that has them
#   stack.sh logs [LINES]       the end of each server's log
#   stack.sh reset              down, then delete data, ports and passwords
#   stack.sh stop|start|restart|kill9 pg|redis|rabbit
#                               one server; port, password and data stay (Redis keeps nothing on disk)
#   stack.sh rabbitmqctl ARG... rabbitmqctl of the private broker
#   stack.sh apt PACKAGE...     install Debian packages without starting their services
#
# Where a server comes from, first match:
#   1. its URL is in the environment or ./.env   used as given (an error if nothing answers)
#   2. STACK_REUSE=1 and one answers on its standard port with the stock login
#   3. its program is on this machine            a private one under .run/, or kept if it runs
#   4. a Docker engine with compose answers      containers of compose.yml on loopback ports
#   5. apt-get works (root or password-less sudo) the packages are installed, then 3.
#   6. otherwise a message that says what to do, exit code 69
#
# A private server has its own data folder, free loopback port and random password; RabbitMQ also its own
# Erlang node, cookie and epmd. Nothing outside the run folder is written, except by apt-get.
#
# Settings (environment):
#   STACK_RUN_DIR=DIR   another, separate stack; default is .run in the checkout
#   STACK_PRIVATE=1     never use URLs that are given (tests that kill servers)
#   STACK_DURABLE=1|0   PostgreSQL with or without fsync; without survives kill -9 but not a power cut
#   STACK_RABBIT_UI=1   with RabbitMQ's management pages
#   STACK_TIMEOUT=120   seconds to wait for a server
#   STACK_DOCKER=0      never use Docker
set -euo pipefail
shopt -s inherit_errexit
umask 077

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
ROOT=$(cd "$HERE/../.." && pwd -P)
BEGUN=${EPOCHREALTIME//[.,]/}
SERVERS=(pg redis rabbit)
declare -A NAME=([pg]=PostgreSQL [redis]=Redis [rabbit]=RabbitMQ)
declare -A VARIABLE=([pg]=SWITCHYARD__DATABASE__URL [redis]=SWITCHYARD__REDIS__URL [rabbit]=SWITCHYARD__AMQP__URL)
declare -A PACKAGE=([pg]=postgresql [redis]=redis-server [rabbit]=rabbitmq-server)
declare -A STANDARD_PORT=([pg]=5432 [redis]=6379 [rabbit]=5672)
# Below Linux's ephemeral range (32768 and up): an outgoing connection can neither take the port of a stopped
# server, nor can a client that retries against it connect to itself.
declare -A BASE_PORT=([pg]=21000 [redis]=22000 [rabbit]=23000 [dist]=24000 [epmd]=26000 [ui]=27000)
declare -A HOW URL
SUDO=()
KEEP_PORTS=0

# ------------------------------------------------------------------------------------------------- messages
tenths() { local now=${EPOCHREALTIME//[.,]/}; local t=$(((now - $1) / 100000)); echo "$((t / 10)).$((t % 10))"; }
log() { printf '[stack %5s s] %s\n' "$(tenths "$BEGUN")" "$*" >&2; }
die() {
  local code=$1
  shift
  printf '[stack] error: %s\n' "$*" >&2
  exit "$code"
}
have() { command -v "$1" >/dev/null 2>&1; }
usage() { sed -n '2,/^set -/{/^set -/d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"; }

# ----------------------------------------------------------------------------------------------- run folder
# PostgreSQL refuses to run as root, so root's servers run as another user, who must be able to enter the folder.
AS=()
as_service_user() {
  [ "$(id -u)" = 0 ] || return 0
  SERVICE_USER=nobody
  if getent passwd postgres >/dev/null; then SERVICE_USER=postgres; fi
  if [ -d "$RUN/pg" ]; then SERVICE_USER=$(stat -c %U "$RUN/pg"); fi
  AS=(setpriv "--reuid=$SERVICE_USER" "--regid=$(id -g "$SERVICE_USER")" --clear-groups env HOME=/nonexistent)
}
enter_run_folder() {
  RUN=${STACK_RUN_DIR:-$ROOT/.run}
  mkdir -p "$RUN" 2>/dev/null || die 77 "cannot create $RUN: set STACK_RUN_DIR to a folder of yours"
  RUN=$(cd "$RUN" 2>/dev/null && pwd -P) || die 77 "$RUN belongs to another user: set STACK_RUN_DIR to a folder of yours"
  [ -w "$RUN" ] || die 77 "$RUN belongs to another user: set STACK_RUN_DIR to a folder of yours"
  HASH=$(printf '%s' "$RUN" | cksum | cut -d' ' -f1)
  # A copy of a checkout must not take the original's servers for its own, nor trust files copied while they ran.
  if [ -s "$RUN/state/home" ] && [ "$(cat "$RUN/state/home")" != "$RUN" ]; then
    log "$RUN was copied or moved from $(cat "$RUN/state/home"): starting afresh"
    rm -rf "$RUN/pg" "$RUN/redis" "$RUN/rabbit" "$RUN/state" "$RUN/stack.env"
  fi
  as_service_user
  if [ ${#AS[@]} -gt 0 ]; then
    chmod 711 "$RUN"
    if ! "${AS[@]}" test -x "$RUN"; then # a checkout below a home folder of mode 700
      RUN=/var/tmp/switchyard-$HASH
      mkdir -p "$RUN"
      [ -O "$RUN" ] || die 77 "$RUN belongs to another user: set STACK_RUN_DIR to a folder that '$SERVICE_USER' can enter"
      chmod 711 "$RUN"
      as_service_user
    fi
  fi
  STATE=$RUN/state
  ENV_FILE=$RUN/stack.env
  mkdir -p "$STATE"
  echo "$RUN" >"$STATE/home"
}
# One change at a time. `reset` deletes the lock too, so check that the locked file is still the one with that name.
lock() {
  while :; do
    mkdir -p "$STATE"
    exec 9>"$RUN/lock"
    flock -n 9 || { log "waiting for another stack.sh to finish"; flock -w 600 9; } ||
      die 75 "another stack.sh has held $RUN/lock for 10 minutes: see who with 'fuser -v $RUN/lock'"
    if [ "$RUN/lock" -ef /proc/self/fd/9 ]; then return; fi
  done
}
own() { [ ${#AS[@]} = 0 ] || chown -R "$SERVICE_USER:" "$@"; }
secret() {
  local file=$STATE/$1.pass
  [ -s "$file" ] || od -An -N16 -tx1 /dev/urandom | tr -d ' \n' >"$file"
  cat "$file"
}

# ------------------------------------------------------------------------------------------------ processes
# A process id comes back after a while as somebody else's, so it is kept together with its start time.
inspect() { # inspect PID: sets P_STATE, P_PARENT, P_STARTED; false when there is no such process
  local line field
  { read -r line <"/proc/$1/stat"; } 2>/dev/null || return 1
  read -r -a field <<<"${line##*) }"
  P_STATE=${field[0]} P_PARENT=${field[1]} P_STARTED=${field[19]}
}
remember() { # remember SERVER PID
  inspect "$2" || return 1
  echo "$2 $P_STARTED" >"$STATE/$1.pid"
}
pid_of() { local pid; read -r pid _ <"$STATE/$1.pid" && echo "$pid"; }
alive() { # alive SERVER; a zombie is dead: a container's first process may never collect it
  local pid started
  [ -s "$STATE/$1.pid" ] && read -r pid started <"$STATE/$1.pid" && inspect "$pid" &&
    [ "$P_STARTED" = "$started" ] && [[ $P_STATE != [ZX] ]]
}
spawn() { # spawn SERVER COMMAND...: detached from the terminal and from our lock
  local server=$1
  shift
  (cd "$RUN/$server" && exec setsid "$@") >"$RUN/$server.log" 2>&1 </dev/null 9>&- &
  remember "$server" $! || die 70 "${NAME[$server]} stopped at once: see $RUN/$server.log"
}
gone_within() { # gone_within SECONDS SERVER
  local deadline=$((SECONDS + $1))
  while alive "$2"; do
    [ $SECONDS -lt $deadline ] || return 1
    sleep 0.05
  done
}
stop_process() { # stop_process SERVER SIGNAL
  local server=$1 begun=${EPOCHREALTIME//[.,]/}
  alive "$server" || return 0
  kill "-$2" "$(pid_of "$server")" 2>/dev/null || true
  if ! gone_within 30 "$server"; then
    log "${NAME[$server]} did not stop in 30 s: killing it"
    kill_process "$server"
  fi
  log "${NAME[$server]} stopped in $(tenths "$begun") s"
}
kill_process() { # kill_process SERVER: with its children, as when the machine's OOM killer or a node failure strikes
  local server=$1 pid file victims
  alive "$server" || return 0
  pid=$(pid_of "$server")
  victims=("$pid")
  for file in /proc/[0-9]*; do
    if inspect "${file#/proc/}" && [ "$P_PARENT" = "$pid" ]; then victims+=("${file#/proc/}"); fi
  done
  kill -KILL "${victims[@]}" 2>/dev/null || true
  for pid in "${victims[@]}"; do
    while inspect "$pid" && [[ $P_STATE != [ZX] ]]; do sleep 0.02; done
  done
}
wait_for() { # wait_for SERVER: until it answers
  local server=$1 limit=${STACK_TIMEOUT:-120} begun=$SECONDS said=$SECONDS problem=
  until "${server}_answers"; do
    if ! alive "$server"; then problem="stopped while it started"; fi
    if [ $((SECONDS - begun)) -ge "$limit" ]; then problem="does not answer after $limit s (STACK_TIMEOUT)"; fi
    if [ -n "$problem" ]; then
      tail -n 20 "$RUN/$server.log" >&2 || true
      die 70 "${NAME[$server]} $problem. Its log is above ($RUN/$server.log); 'stack.sh reset' starts afresh without the data"
    fi
    if [ $((SECONDS - said)) -ge 10 ]; then
      said=$SECONDS
      log "still waiting for ${NAME[$server]}"
    fi
    sleep 0.1
  done
}

# ------------------------------------------------------------------------------------------ ports and probes
port_open() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }
port_of() { cat "$STATE/$1.port"; }
# The port chosen once is asked for again, so that URLs outlive a restart.
claim_port() {
  local port i
  port=$((BASE_PORT[$1] + HASH % 800))
  if [ -s "$STATE/$1.port" ]; then port=$(port_of "$1"); fi
  for i in {0..99}; do
    if ! port_open $((port + i)); then
      echo $((port + i)) >"$STATE/$1.port"
      return
    fi
    [ "$KEEP_PORTS" = 0 ] || die 69 "port $port is taken by another process: 'stack.sh up' chooses a new one"
  done
  die 69 "no free port from $port to $((port + 99)): stop what listens there, or set STACK_RUN_DIR to get other ports"
}
# shellcheck disable=SC2016  # expanded by the inner shell
tcp_answers() { timeout 3 bash -c 'exec 3<>"/dev/tcp/$0/$1"' "$1" "$2" 2>/dev/null; }
redis_ping() { # redis_ping HOST PORT [PASSWORD]
  # shellcheck disable=SC2016  # expanded by the inner shell
  local talk='exec 3<>"/dev/tcp/$0/$1"
    if [ -n "$2" ]; then printf "AUTH %s\r\n" "$2" >&3; read -r _ <&3; fi
    printf "PING\r\n" >&3; read -r answer <&3; [[ $answer == +PONG* ]]'
  timeout 3 bash -c "$talk" "$1" "$2" "${3:-}" 2>/dev/null
}
amqp_greets() { # amqp_greets HOST PORT: Connection.Start comes back, frame type 1 on channel 0
  # shellcheck disable=SC2016  # expanded by the inner shell
  local talk='exec 3<>"/dev/tcp/$0/$1"; printf "AMQP\0\0\11\1" >&3; head -c 3 <&3 | od -An -tx1'
  [ "$(timeout 3 bash -c "$talk" "$1" "$2" 2>/dev/null)" = " 01 00 00" ]
}
host_and_port() { # host_and_port URL STANDARD_PORT
  local place=${1#*://}
  place=${place##*@} place=${place%%[/?]*}
  case $place in
    *\]) echo "${place//[\[\]]/} $2" ;;
    *:*) local host=${place%:*}; echo "${host//[\[\]]/} ${place##*:}" ;;
    *) echo "$place $2" ;;
  esac
}

# ---------------------------------------------------------------------------------------------- PostgreSQL
pg_program() { # the folder of initdb; Debian does not put it on PATH
  local folder
  while read -r folder; do
    if [ -x "$folder/initdb" ]; then echo "$folder"; return; fi
  done < <(printf '%s\n' /usr/lib/postgresql/*/bin | sort -rV)
  if have initdb; then dirname "$(readlink -f "$(command -v initdb)")"; else return 1; fi
}
pg_query() { PGPASSWORD=$(secret pg) PGCONNECT_TIMEOUT=3 "$(pg_program)/psql" -h 127.0.0.1 -p "$(port_of pg)" -U switchyard -d postgres -Atqc "$1"; }
pg_answers() { pg_query 'select 1' >/dev/null 2>&1; }
pg_url() { echo "postgres://switchyard:$(secret pg)@127.0.0.1:$(port_of pg)/switchyard"; }
create_cluster() {
  local bin=$1 data=$RUN/pg begun=${EPOCHREALTIME//[.,]/}
  rm -rf "$data"
  mkdir -p "$data"
  secret pg >"$RUN/pg.password"
  own "$data" "$RUN/pg.password"
  (cd / && "${AS[@]}" "$bin/initdb" -D "$data" -U switchyard --pwfile="$RUN/pg.password" \
    --auth=scram-sha-256 -E UTF8 --locale=C --no-sync) >"$RUN/pg.log" 2>&1 9>&- || {
    cat "$RUN/pg.log" >&2
    rm -rf "$data"
    die 70 "initdb failed; its output is above"
  }
  rm -f "$RUN/pg.password"
  log "PostgreSQL: data folder made in $(tenths "$begun") s"
}
start_pg() {
  local bin data=$RUN/pg begun=${EPOCHREALTIME//[.,]/} durable major made_by options=() stale
  bin=$(pg_program)
  durable=$(cat "$STATE/pg.durable" 2>/dev/null || echo 0)
  if alive pg && [ "${STACK_DURABLE:-$durable}" != "$durable" ]; then
    log "PostgreSQL: restarting it with STACK_DURABLE=$STACK_DURABLE"
    stop_pg
  fi
  alive pg && pg_answers && return
  if ! alive pg; then
    [ -s "$data/PG_VERSION" ] || create_cluster "$bin"
    major=$("$bin/postgres" -V | sed 's/[^0-9]*\([0-9]*\).*/\1/')
    made_by=$(cat "$data/PG_VERSION")
    [ "$made_by" = "$major" ] ||
      die 70 "$data was made by PostgreSQL $made_by, this is $major: 'stack.sh reset' starts afresh without the data"
    # PostgreSQL sees that a lock file is stale, unless its process is a zombie or another has got the number since.
    # Else the file must stay: it keeps a new server away from what a killed one left running.
    stale=$(head -n 1 "$data/postmaster.pid" 2>/dev/null || true)
    if inspect "${stale:-none}" && { [[ $P_STATE == [ZX] ]] || [ "$(cat "/proc/$stale/comm")" != postgres ]; }; then
      rm -f "$data/postmaster.pid"
    fi
    # synchronous_commit and full_page_writes stay on: a commit must outlive kill -9 here, or the crash tests prove nothing.
    durable=${STACK_DURABLE:-$durable}
    [ "$durable" = 1 ] || options=(-c fsync=off)
    echo "$durable" >"$STATE/pg.durable"
    claim_port pg
    spawn pg "${AS[@]}" "$bin/postgres" -D "$data" -p "$(port_of pg)" -c listen_addresses=127.0.0.1 \
      -c unix_socket_directories= -c max_connections=300 -c shared_buffers=128MB -c jit=off "${options[@]}"
  fi
  wait_for pg
  [ "$(pg_query "select 1 from pg_database where datname = 'switchyard'")" = 1 ] || pg_query 'create database switchyard'
  log "PostgreSQL: ready on 127.0.0.1:$(port_of pg) in $(tenths "$begun") s$([ "$durable" = 1 ] && echo ", durable")"
}
stop_pg() { stop_process pg INT; } # INT disconnects the clients, TERM would wait for them

# --------------------------------------------------------------------------------------------------- Redis
redis_program() { command -v redis-server; }
redis_answers() { redis_ping 127.0.0.1 "$(port_of redis)" "$(secret redis)"; }
redis_url() { echo "redis://:$(secret redis)@127.0.0.1:$(port_of redis)/0"; }
start_redis() {
  local begun=${EPOCHREALTIME//[.,]/}
  alive redis && redis_answers && return
  if ! alive redis; then
    mkdir -p "$RUN/redis"
    claim_port redis
    printf '%s\n' "bind 127.0.0.1" "port $(port_of redis)" "dir $RUN/redis" "requirepass $(secret redis)" \
      "protected-mode yes" "daemonize no" "appendonly no" 'save ""' "maxmemory-policy noeviction" >"$RUN/redis/redis.conf"
    own "$RUN/redis"
    spawn redis "${AS[@]}" "$(redis_program)" "$RUN/redis/redis.conf"
  fi
  wait_for redis
  log "Redis: ready on 127.0.0.1:$(port_of redis) in $(tenths "$begun") s"
}
stop_redis() { stop_process redis TERM; }

# ------------------------------------------------------------------------------------------------ RabbitMQ
# Not the one on PATH: that wrapper insists on the user rabbitmq.
rabbit_program() { [ -x /usr/lib/rabbitmq/bin/rabbitmq-server ] && echo /usr/lib/rabbitmq/bin; }
rabbit_answers() {
  # The process we started is a shell; the Erlang VM writes its own number down.
  local pid
  if { read -r pid <"$RUN/rabbit/pid"; } 2>/dev/null; then remember rabbit "$pid" || true; fi
  amqp_greets 127.0.0.1 "$(port_of rabbit)"
}
rabbit_url() { echo "amqp://switchyard:$(secret rabbit)@127.0.0.1:$(port_of rabbit)/%2f"; }
rabbit_environment() { # sets BROKER_ENV; the machine's host name need not resolve, so the node is at localhost
  local data=$RUN/rabbit
  BROKER_ENV=(env -u RABBITMQ_NODENAME "HOME=$data" LC_ALL=C.UTF-8 RABBITMQ_CONF_ENV_FILE=/dev/null
    "RABBITMQ_NODENAME=sy$HASH@localhost" "RABBITMQ_MNESIA_BASE=$data/mnesia" "RABBITMQ_LOG_BASE=$data/log"
    "RABBITMQ_CONFIG_FILE=$data/rabbitmq.conf" "RABBITMQ_ENABLED_PLUGINS_FILE=$data/enabled_plugins"
    "RABBITMQ_GENERATED_CONFIG_DIR=$data/generated" "RABBITMQ_FEATURE_FLAGS_FILE=$data/feature_flags"
    "RABBITMQ_PID_FILE=$data/pid" "RABBITMQ_DIST_PORT=$(port_of dist)" "ERL_EPMD_PORT=$(port_of epmd)"
    ERL_EPMD_ADDRESS=127.0.0.1)
}
configure_rabbit() {
  local data=$RUN/rabbit plugins=
  mkdir -p "$data/log" "$data/mnesia"
  claim_port rabbit
  claim_port dist
  # epmd outlives its node: one that still answers on our port is ours.
  if ! { [ -s "$STATE/epmd.port" ] && port_open "$(port_of epmd)"; }; then claim_port epmd; fi
  printf '%s\n' "listeners.tcp.1 = 127.0.0.1:$(port_of rabbit)" "default_user = switchyard" "default_pass = $(secret rabbit)" \
    "log.file = false" "log.console = true" "log.console.level = warning" >"$data/rabbitmq.conf"
  if [ "${STACK_RABBIT_UI:-0}" = 1 ]; then
    claim_port ui
    plugins=rabbitmq_management
    printf '%s\n' "management.tcp.ip = 127.0.0.1" "management.tcp.port = $(port_of ui)" >>"$data/rabbitmq.conf"
    log "RabbitMQ: pages at http://127.0.0.1:$(port_of ui), user switchyard, password $(secret rabbit)"
  fi
  echo "[$plugins]." >"$data/enabled_plugins"
  rm -f "$data/pid"
  own "$data"
}
start_rabbit() {
  local begun=${EPOCHREALTIME//[.,]/}
  alive rabbit && rabbit_answers && return
  if ! alive rabbit; then
    configure_rabbit
    rabbit_environment
    spawn rabbit "${AS[@]}" "${BROKER_ENV[@]}" "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS=-kernel inet_dist_use_interface {127,0,0,1}" \
      "$(rabbit_program)/rabbitmq-server"
  fi
  wait_for rabbit
  log "RabbitMQ: ready on 127.0.0.1:$(port_of rabbit) in $(tenths "$begun") s"
}
stop_rabbit() { stop_process rabbit TERM; }
stop_epmd() {
  if [ -s "$STATE/epmd.port" ] && have epmd && port_open "$(port_of epmd)"; then
    epmd -address 127.0.0.1 -port "$(port_of epmd)" -kill >/dev/null 2>&1 || true
  fi
}

# ------------------------------------------------------------------------------------------ Docker and apt
docker_works() {
  [ "${STACK_DOCKER:-1}" != 0 ] && have docker && timeout 10 docker info >/dev/null 2>&1 && timeout 10 docker compose version >/dev/null 2>&1
}
compose() {
  local server
  for server in "${SERVERS[@]}"; do
    export "STACK_${server^^}_PORT=$(port_of "$server" 2>/dev/null || echo "${STANDARD_PORT[$server]}")" "STACK_${server^^}_PASSWORD=$(secret "$server")"
  done
  docker compose -p "switchyard-$HASH" -f "$HERE/compose.yml" "$@" >&2 9>&-
}
start_containers() { # start_containers SERVER...
  local server
  log "starting with Docker: $*"
  for server in "$@"; do
    HOW[$server]=docker
    if [ "$(how_of "$server")" != docker ] || ! port_open "$(port_of "$server")"; then claim_port "$server"; fi
  done
  compose up -d --wait "$@" || die 70 "docker compose failed; its output is above (STACK_DOCKER=0 goes without Docker)"
}
can_apt() {
  have apt-get || return 1
  [ "$(id -u)" != 0 ] || return 0
  have sudo && sudo -n true 2>/dev/null && SUDO=(sudo -n)
}
# In a subshell, so that the trap is only its own. The packages must not start their services on the standard
# ports, nor create a cluster: both are forbidden before they are unpacked, and only what we wrote is removed.
apt_quietly() (
  policy=/usr/sbin/policy-rc.d cluster=/etc/postgresql-common/createcluster.conf apt_log=$RUN/apt.log
  apt=("${SUDO[@]}" env DEBIAN_FRONTEND=noninteractive UCF_FORCE_CONFFOLD=1 apt-get -q -y
    -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 -o Acquire::Retries=3)
  trap '[ -z "${ours:-}" ] || "${SUDO[@]}" rm -f "$policy"; [ -z "${ticker:-}" ] || kill "$ticker" 2>/dev/null || true' EXIT
  if [ ! -e $policy ]; then
    ours=1
    printf '#!/bin/sh\nexit 101\n' | "${SUDO[@]}" tee $policy >/dev/null
    "${SUDO[@]}" chmod 755 $policy
  fi
  if [ ! -e $cluster ]; then
    "${SUDO[@]}" install -d -m 755 "${cluster%/*}"
    echo 'create_main_cluster = false' | "${SUDO[@]}" tee $cluster >/dev/null
    "${SUDO[@]}" chmod 644 $cluster
  fi
  : >"$apt_log"
  (while sleep 5 >/dev/null 2>&1; do log "apt-get: $(tail -n 1 "$apt_log" | cut -c 1-90)"; done) 9>&- &
  ticker=$!
  "${apt[@]}" install --no-install-recommends "$@" >>"$apt_log" 2>&1 9>&- && exit 0
  log "apt-get: refreshing the package lists"
  "${apt[@]}" update >>"$apt_log" 2>&1 9>&- && "${apt[@]}" install --no-install-recommends "$@" >>"$apt_log" 2>&1 9>&-
)
apt_install() {
  local begun=${EPOCHREALTIME//[.,]/}
  log "installing with apt-get: $*"
  apt_quietly "$@" || {
    tail -n 15 "$RUN/apt.log" >&2
    die 69 "apt-get could not install: $* (log: $RUN/apt.log). Install them by hand, then run this again"
  }
  log "installed in $(tenths "$begun") s"
  if [ -d /run/systemd/system ]; then
    log "the packages' own services were not started; after a reboot they would be: 'systemctl disable SERVICE' prevents it"
  fi
}

# ------------------------------------------------------------------------------------------------- choosing
how_of() { cat "$STATE/$1.how" 2>/dev/null || echo none; }
given() { # given SERVER: the URL that the user chose; one that an earlier `up` printed is not theirs
  local variable=${VARIABLE[$1]} url
  [ "${STACK_PRIVATE:-0}" != 1 ] || return 0
  url=${!variable:-}
  if [ -z "$url" ] && [ -f "$ROOT/.env" ]; then
    url=$(sed -n "s/^\(export \)\{0,1\}$variable=//p" "$ROOT/.env" | tail -n 1 | sed "s/^[\"']//; s/[\"']\$//")
  fi
  if [[ $(how_of "$1") == @(private|docker) ]] && [ "$url" = "$("$1_url")" ]; then url=; fi
  echo "$url"
}
standard() { # standard SERVER: the URL of one on its standard port, with the stock login
  case $1 in
    pg)
      local url=postgres://postgres:postgres@127.0.0.1:5432
      have psql && PGCONNECT_TIMEOUT=2 psql "$url/postgres" -Atqc 'select 1' >/dev/null 2>&1 || return 0
      psql "$url/postgres" -qc 'create database switchyard' >/dev/null 2>&1 || true
      echo "$url/switchyard"
      ;;
    redis) if redis_ping 127.0.0.1 6379; then echo redis://127.0.0.1:6379/0; fi ;;
    rabbit) if amqp_greets 127.0.0.1 5672; then echo amqp://guest:guest@127.0.0.1:5672/%2f; fi ;;
  esac
}
use_given() { # use_given SERVER URL
  local place
  read -r -a place <<<"$(host_and_port "$2" "${STANDARD_PORT[$1]}")"
  tcp_answers "${place[0]}" "${place[1]}" ||
    die 69 "${VARIABLE[$1]} is set, but nothing answers at ${place[0]}:${place[1]}. Start that server, or unset the variable to get a private one"
  log "${NAME[$1]}: ${place[0]}:${place[1]}, as given by ${VARIABLE[$1]}"
  HOW[$1]=given URL[$1]=$2
}
choose() { # fills HOW, and URL of servers that are not ours
  local server url missing=() packages=()
  for server in "${SERVERS[@]}"; do
    url=$(given "$server")
    if [ -n "$url" ]; then
      use_given "$server" "$url"
    elif [ "${STACK_REUSE:-0}" = 1 ] && url=$(standard "$server") && [ -n "$url" ]; then
      log "${NAME[$server]}: the one on its standard port (STACK_REUSE=1)"
      HOW[$server]=given URL[$server]=$url
    elif "${server}_program" >/dev/null; then
      HOW[$server]=private
    else
      missing+=("$server") packages+=("${PACKAGE[$server]}")
    fi
  done
  if [ ${#missing[@]} = 0 ]; then
    return
  elif docker_works; then
    start_containers "${missing[@]}"
  elif can_apt; then
    apt_install "${packages[@]}"
    as_service_user
    for server in "${missing[@]}"; do HOW[$server]=private; done
  else
    die 69 "missing: ${packages[*]}. Do one of these, then run this again:
  - install them:      sudo apt-get install ${packages[*]}   (their services need not run)
  - or start Docker    with its compose plugin
  - or give servers:   $(for server in "${missing[@]}"; do printf '%s=... ' "${VARIABLE[$server]}"; done)"
  fi
}

# ------------------------------------------------------------------------------------------------- commands
up() {
  local server rabbit_job=
  choose
  for server in "${SERVERS[@]}"; do echo "${HOW[$server]}" >"$STATE/$server.how"; done
  # RabbitMQ is the slow one: it starts while the others do.
  if [ "${HOW[rabbit]}" = private ]; then
    alive rabbit || log "RabbitMQ: starting"
    start_rabbit &
    rabbit_job=$!
  fi
  if [ "${HOW[pg]}" = private ]; then start_pg; fi
  if [ "${HOW[redis]}" = private ]; then start_redis; fi
  if [ -n "$rabbit_job" ]; then wait "$rabbit_job"; fi
  for server in "${SERVERS[@]}"; do
    echo "export ${VARIABLE[$server]}='${URL[$server]:-$("${server}_url")}'"
  done >"$ENV_FILE.new"
  mv "$ENV_FILE.new" "$ENV_FILE"
  log "up: PostgreSQL ${HOW[pg]}, Redis ${HOW[redis]}, RabbitMQ ${HOW[rabbit]}; variables in $ENV_FILE"
}
down() {
  stop_rabbit &
  stop_redis &
  stop_pg &
  wait
  stop_epmd
  if [[ "$(how_of pg) $(how_of redis) $(how_of rabbit)" == *docker* ]] && docker_works; then compose down || true; fi
  rm -f "$ENV_FILE" "$STATE/pg.durable"
  log "down; the data stays in $RUN ('stack.sh reset' deletes it)"
}
reset() {
  if [[ "$(how_of pg) $(how_of redis) $(how_of rabbit)" == *docker* ]] && docker_works; then compose down --volumes || true; fi
  down
  rm -rf "$RUN"
  log "data, ports and passwords deleted"
}
one() { # one COMMAND SERVER
  local command=$1 server=${2:-}
  [[ " ${SERVERS[*]} " == *" $server "* ]] || die 64 "usage: stack.sh $command pg|redis|rabbit"
  KEEP_PORTS=1
  case $(how_of "$server") in
    private)
      case $command in
        stop) "stop_$server" ;;
        start) "start_$server" ;;
        restart) "stop_$server" && "start_$server" ;;
        kill9) kill_process "$server" && log "${NAME[$server]} killed" ;;
      esac
      ;;
    docker)
      case $command in
        start) compose up -d --wait "$server" ;;
        kill9) compose kill -s KILL "$server" ;;
        *) compose "$command" "$server" ;;
      esac
      ;;
    given) die 69 "${NAME[$server]} was given by ${VARIABLE[$server]}: not ours to $command" ;;
    *) die 69 "${NAME[$server]} was never started here: run 'stack.sh up' first" ;;
  esac
}
status() {
  local server how place state code=0
  for server in "${SERVERS[@]}"; do
    how=$(how_of "$server") place=- state=down
    case $how in
      private)
        place=127.0.0.1:$(port_of "$server" 2>/dev/null || echo -)
        if alive "$server" && "${server}_answers"; then state="up, pid $(pid_of "$server")"; fi
        ;;
      docker)
        place=127.0.0.1:$(port_of "$server")
        if port_open "$(port_of "$server")"; then state=up; fi
        ;;
      given)
        if [ -s "$ENV_FILE" ]; then
          place=$(host_and_port "$(sed -n "s/^export ${VARIABLE[$server]}='\(.*\)'/\1/p" "$ENV_FILE")" "${STANDARD_PORT[$server]}")
          # shellcheck disable=SC2086  # host and port are two words
          if tcp_answers $place; then state=up; fi
          place=${place/ /:}
        fi
        ;;
    esac
    [[ $state == up* ]] || code=3
    printf '%-11s %-8s %-18s %s\n' "${NAME[$server]}" "$how" "$place" "$state"
  done
  return $code
}
broker_ctl() {
  [ "$(how_of rabbit)" = private ] || die 69 "rabbitmqctl works on the private broker only: run 'stack.sh up' first"
  rabbit_environment
  cd "$RUN/rabbit"
  exec "${AS[@]}" "${BROKER_ENV[@]}" "$(rabbit_program)/rabbitmqctl" "$@"
}

[ "$(uname)" = Linux ] ||
  die 69 "this script needs Linux. Elsewhere: docker compose -f $HERE/compose.yml up -d --wait, then set the variables that compose.yml names"
command=${1:-}
case $command in
  up | down | reset | stop | start | restart) enter_run_folder && lock ;;
  kill9 | status | env | envfile | logs | rabbitmqctl | apt) enter_run_folder ;;
  *) usage && exit 64 ;;
esac
shift
case $command in
  up | down | status | reset) "$command" ;;
  stop | start | restart | kill9) one "$command" "$@" ;;
  env)
    [ -s "$ENV_FILE" ] || die 69 "the servers are not up: run 'stack.sh up' first"
    cat "$ENV_FILE"
    ;;
  envfile) echo "$ENV_FILE" ;;
  logs) tail -n "${1:-40}" "$RUN"/*.log ;;
  rabbitmqctl) broker_ctl "$@" ;;
  apt)
    can_apt || die 69 "please install: $*"
    apt_install "$@"
    ;;
esac
