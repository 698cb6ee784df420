#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Checks that the modules of src stand in layers:
#
#	layers.sh SOURCE FOLDER=LIBRARY...
#
# A module may include and call those of its folder, and of core, that stand before
# it in the table below, and no others; so there are no circles. SOURCE is the top of
# the source tree. Calls are read from the object files in LIBRARY, one for each
# folder of src.
#
# Prints what points upwards, and fails if anything does.
set -u
export LC_ALL=C

# From the bottom to the top; a line is a layer, which HACKING.md describes.
table='
core bytes keys util result quote process
core record escape name utf8 rules text report
core view walk pool_place pool pool_holders pool_names
core value index batch scan records records_drop
core store store_pool
core changes reading
core writer events show holders

mount log options retry pools ready key_lock
mount inode refusals looks versions given told fs
mount call access
mount attr list sync lock
mount key_attr key_file key_dir
mount control_dir control_shown control_replace control_pool control_text
mount control_status control_events
mount mount_root agent due watchers
mount top ops mount loop main

command message json files
command request session
command read write wait provisioning
command commands options main
'

source=$1
shift
work=$(mktemp -d) || exit
trap 'rm -rf "$work"' EXIT

# "FROM KIND TO WHAT": the file or object FROM includes or calls WHAT of TO.
includes()
{
	for file in "$source/src/$1"/*.[ch]; do
		module=${file##*/}
		module=${module%.[ch]}
		echo "$1/$module is"
		sed -n 's/^#include "\(.*\)\.h"$/\1/p' "$file" |
			while read -r other; do
				[ "$other" = "$module" ] ||
					echo "$1/$module includes $other ${file##*/}"
			done
	done
}

# Who defines each name, and who needs it. automake puts the library's name before
# the module's: libkvp_a-pool.o.
calls()
{
	nm -A -g "$2" | sed -n "s|^[^:]*:\(lib[a-z]*_a-\)*\([a-z0-9_]*\)\.o:|$1/\2 |p" |
		awk '$2 == "U" { print $1, "needs", $3; next }
		     NF == 4   { print $1, "defines", $4 }'
}

for pair; do
	includes "${pair%%=*}"
	calls "${pair%%=*}" "${pair#*=}" || exit
done >"$work/facts"
grep -q ' defines ' "$work/facts" || {
	echo "layers.sh: no object files" >&2
	exit 2
}

{ echo "$table"; echo facts; cat "$work/facts"; } | awk '
	function complain(text) {
		print text
		failed = 1
	}
	function folder(module) {
		return substr(module, 1, index(module, "/") - 1)
	}
	# FROM uses TO, a module, in this way.
	function check(from, to, how) {
		if (!(to in rank))
			complain(from " " how ", which is in no module below it")
		else if (rank[to] > rank[from])
			complain(from " " how ": " to " stands above it")
	}
	$1 == "facts" { in_facts = 1; next }
	!in_facts {
		for (i = 2; i <= NF; i++)
			rank[$1 "/" $i] = ++count
		next
	}
	$2 == "is" && !($1 in rank) {
		complain($1 " has no place in the table of tests/layers.sh")
		rank[$1] = 1e9
	}
	$2 == "includes" { including[++n] = $1; included[n] = $3 }
	$2 == "defines" { owner[folder($1), $3] = $1; defined[$3] = $1 }
	$2 == "needs" { needing[++m] = $1; needed[m] = $3 }
	END {
		for (i = 1; i <= n; i++) {
			to = folder(including[i]) "/" included[i]
			if (!(to in rank))
				to = "core/" included[i]
			check(including[i], to, "includes " included[i] ".h")
		}
		for (i = 1; i <= m; i++) {
			name = needed[i]
			if ((folder(needing[i]), name) in owner)
				to = owner[folder(needing[i]), name]
			else if (("core", name) in owner)
				to = owner["core", name]
			else if (name in defined)
				to = "nowhere"
			else
				continue
			check(needing[i], to, "needs " name)
		}
		exit failed
	}'
