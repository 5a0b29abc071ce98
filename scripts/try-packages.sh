#!/bin/sh
# sh scripts/try-packages.sh <folder of tarballs> <platform>: installs the package and the binary of
# one platform in an empty folder and sweeps once with them. Only Node.js and npm are needed.
set -eu
tarballs=$(cd "$1" && pwd)
platform=$2
scripts=$(cd "$(dirname "$0")" && pwd)

folder=$(mktemp -d)
cd "$folder"
echo '{}' > package.json
# Version numbers begin with a digit, platforms do not.
npm install --offline --no-audit --no-fund \
  "$tarballs"/cron-session-reaper-[0-9]*.tgz "$tarballs"/cron-session-reaper-"$platform"-[0-9]*.tgz
test -s node_modules/cron-session-reaper-"$platform"/THIRD-PARTY.md
node "$scripts/smoke.mjs" node_modules/cron-session-reaper
cd /
rm -r "$folder"
