#!/bin/sh
# Downloads Debian's package ferret-datasets (public domain, US NOAA/PMEL) and unpacks it into DIR without
# installing it; prints the path of the monthly winds in it: `fetch.sh DIR`
set -eu

dir=$1
file=$dir/ferret-datasets/usr/share/ferret-vis/data/monthly_navy_winds.cdf
if [ ! -f "$file" ]; then
    hint="Give the demo a file of your own instead: make demo DATA=FILE or DATA=FILE:/dataset (HDF5, netCDF-3 or netCDF-4)."
    if ! command -v apt-get >/dev/null 2>&1 || ! command -v dpkg-deb >/dev/null 2>&1; then
        echo "error: the demo's data come from the Debian package ferret-datasets, and this system has no apt-get and dpkg-deb. $hint" >&2
        exit 1
    fi
    mkdir -p "$dir"
    echo "downloading the Debian package ferret-datasets (28 MB)" >&2
    # `download` writes to the current directory and needs no root; an absent package index does to fetch.
    (cd "$dir" && apt-get download -qq ferret-datasets 2>/dev/null) ||
        { [ "$(id -u)" = 0 ] && apt-get update -qq >&2 && (cd "$dir" && apt-get download -qq ferret-datasets 2>/dev/null); } ||
        { echo "error: apt-get could not download ferret-datasets (on Ubuntu it is in 'universe'; without root, ask for apt-get update). $hint" >&2; exit 1; }
    dpkg-deb -x "$dir"/ferret-datasets_*.deb "$dir/ferret-datasets"
    rm -f "$dir"/ferret-datasets_*.deb
fi
echo "$file"
