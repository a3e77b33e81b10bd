#!/bin/sh
# Make a Redis Cluster of the given servers, a replica for each master; leave one alone that is.
set -eu
first="${1%:*}" port="${1##*:}"
if redis-cli -h "$first" -p "$port" cluster info | grep -q '^cluster_slots_assigned:16384'; then
  echo "the cluster is there"
  exit 0
fi
exec redis-cli --cluster create "$@" --cluster-replicas 1 --cluster-yes
