# shellcheck shell=bash
# SPDX-License-Identifier: MIT
#
# The fenced blocks of README.md, for the scripts that do what it says.

# block FILE TEXT: the first block in which the text stands.
block()
{
	local line inside='' lines=''
	while IFS= read -r line; do
		if [[ $line != '```'* ]]; then
			lines+=$line$'\n'
			continue
		fi
		if [[ $inside && $lines == *"$2"* ]]; then
			printf %s "$lines"
			return
		fi
		if [[ $inside ]]; then inside=; else inside=yes; fi
		lines=
	done <"$1"
	echo "$1 has no block with \"$2\"" >&2
	return 1
}
