#!/usr/bin/env bash
# A SLURM of one node on this machine, for the tests of `ebm sweep --launcher slurm`: Debian's packages, everything on loopback.
#   scripts/slurm_testbed.sh start     installs what is missing and starts munged, slurmctld and slurmd; needs root
#   scripts/slurm_testbed.sh stop      ends these three, by their process ids
set -euo pipefail

state=/var/lib/ebm-slurm
conf=/etc/slurm/slurm.conf
cluster=ebm-testbed

[ "$(id -u)" = 0 ] || exec sudo -E "$0" "$@"

# A cluster that somebody else set up is left alone.
if [ -e "$conf" ] && ! grep -q "^ClusterName=$cluster$" "$conf"; then
  echo "$conf belongs to another cluster: nothing is changed" >&2
  exit 1
fi

stop() {
  for daemon in slurmd slurmctld munged; do
    [ -e "$state/$daemon.pid" ] && kill "$(cat "$state/$daemon.pid")" 2>/dev/null || true
  done
}

start() {
  if ! command -v slurmctld slurmd munged >/dev/null; then
    apt-get install -y -qq --no-install-recommends slurm-wlm munge >/dev/null
  fi
  mkdir -p "$state"/{spool,ctld} /etc/slurm /run/munge
  [ -e /etc/munge/munge.key ] || mungekey --create
  chown -R munge: /etc/munge /var/lib/munge /var/log/munge /run/munge
  chmod 755 /run/munge
  local name memory
  name=$(hostname -s)
  memory=$(awk '/MemTotal/ { print int($2 / 1024) }' /proc/meminfo)
  cat >"$conf" <<CONF
ClusterName=$cluster
SlurmctldHost=$name(127.0.0.1)
SlurmUser=root
AuthType=auth/munge
# Requeued tasks start again once their old credential has expired.
AuthInfo=cred_expire=5
StateSaveLocation=$state/ctld
SlurmdSpoolDir=$state/spool
SlurmctldPidFile=$state/slurmctld.pid
SlurmdPidFile=$state/slurmd.pid
SlurmctldLogFile=$state/slurmctld.log
SlurmdLogFile=$state/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=sched_interval=1,batch_sched_delay=0
KillWait=20
ReturnToService=2
NodeName=$name NodeAddr=127.0.0.1 CPUs=$(nproc) RealMemory=$memory State=UNKNOWN
PartitionName=main Nodes=$name Default=YES MaxTime=INFINITE State=UP OverSubscribe=NO
CONF
  stop
  sleep 1
  su -s /bin/sh munge -c "/usr/sbin/munged --force --pid-file=/run/munge/munged.pid"
  cp /run/munge/munged.pid "$state/munged.pid"
  slurmctld
  slurmd
  for _ in $(seq 50); do
    sinfo -h -o %T 2>/dev/null | grep -q -e idle -e mixed -e allocated && { sinfo; return; }
    sleep 0.2
  done
  echo "the node does not come up; see $state/slurmctld.log and $state/slurmd.log" >&2
  exit 1
}

case "${1:-start}" in
  start) start ;;
  stop) stop ;;
  *) echo "usage: $0 start|stop" >&2; exit 2 ;;
esac
