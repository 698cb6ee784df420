#!/bin/bash
# SPDX-License-Identifier: MIT
#
# Everyday programs on the files in .kvpfs: shells, coreutils, sed, sort and python
# show, add and replace records, back them up and put them back; a line that is
# refused is told by the program that wrote it; and what lists, searches, copies
# or removes the mount never meets the directory.

# shellcheck source=lib.sh
. "${BASH_SOURCE[0]%/*}/lib.sh"

records=mount/.kvpfs/records

# The pool holds exactly these records in this order.
records_are()
{
	equal "$(pool list pool)" "$(printf '%s\n' "$@")"
}

is_cleared() { equal "$(stat -c %s pool)" 0; }

# What ls lists, in one line.
names()
{
	local found
	found=$(ls "$@")
	xargs <<<"$found"
}

# The pool has not one byte changed since `remember`.
remember() { cp pool remembered; }
unchanged() { cmp pool remembered; }

# Once what was closed has been worked off; requests are served in order.
settle() { stat -f mount >/dev/null; }

# Shells

redirection_replaces_all_records()
{
	"$variant" -c "echo b=2 >$records"
	records_are b=2
	"$variant" -c "printf 'a=1\\nb=2\\na=3' >$records"
	records_are a=1 b=2 a=3
}

redirection_of_several_commands_replaces_by_all_their_lines()
{
	"$variant" -c "(echo a=1; echo b=2; printf c=) >$records"
	records_are a=1 b=2 c=
	"$variant" -c "{ /bin/echo d=1; echo e=2; printf f; /bin/echo =3; } >$records"
	records_are d=1 e=2 f=3
	"$variant" -c "exec 3>$records; echo g=1 >&3; /bin/echo h=2 >&3; exec 3>&-"
	records_are g=1 h=2
}

appending_redirection_adds_records()
{
	"$variant" -c "echo a=2 >>$records; printf 'b=1\\nb=2' >>$records"
	"$variant" -c "(echo c=1; /bin/echo c=2) >>$records"
	records_are a=1 a=2 b=1 b=2 c=1 c=2
}

empty_redirection_clears()
{
	"$variant" -c ": >>$records"
	settle
	records_are a=1 b=2
	"$variant" -c ": >$records"
	settle
	is_cleared
	"$variant" -c ": >$records; echo c=3 >$records"
	records_are c=3
}

refused_line_is_told_by_the_shell()
{
	local line reason='Invalid argument'
	[[ $variant != dash ]] || reason='I/O error'    # all it ever says
	remember
	for line in 'no equals' '=v' 'k=%41' "$(printf '%0255d' 0)=v" \
		"k=$(printf '%01023d' 0)" $'k=\xff' ''; do
		for operator in '>' '>>'; do
			refuses "$reason" "$variant" -c "echo \"\$0\" $operator$records" \
				"$line"
			settle
			unchanged
		done
		# bash writes line by line
		refuses "$reason" "$variant" -c "printf 'b=2\n%s\n' \"\$0\" >$records" \
			"$line"
		settle
		unchanged
	done
	grep -q 'records: line 1: ' log
	grep -q 'records: line 2: ' log
}

input_redirection_reads_records()
{
	"$variant" -c "while IFS= read -r line; do echo \"<\$line>\"; done <$records" >out
	equal "$(<out)" $'<a=1>\n< b =x=y>\n<a=2%0A>'
}

for variant in bash dash; do
	it redirection_replaces_all_records a=old
	it redirection_of_several_commands_replaces_by_all_their_lines a=old
	it appending_redirection_adds_records a=1
	it empty_redirection_clears a=1 b=2
	it refused_line_is_told_by_the_shell a=1
	it input_redirection_reads_records a=1 ' b =x=y' 'a=2\n'
done
variant=

# Reading

programs_read_files_that_have_no_size()
{
	equal "$(cat "$records")" $'a=1\nb=2\na=3'
	equal "$(sort mount/.kvpfs/entries)" $'a=3\nb=2'
	equal "$(wc -l <"$records")" 3
	equal "$(wc -c mount/.kvpfs/pool | cut -d ' ' -f 1)" 7680
	cmp mount/.kvpfs/pool pool
	equal "$(grep -c ^a= "$records")" 2
	equal "$(head -n 1 "$records")" a=1
	equal "$(tail -n 1 "$records")" a=3
	equal "$(tail -c 4 "$records")" a=3
	equal "$(sed -n 's/^b=//p' "$records")" 2
	equal "$(awk -F = '/^keys=/ { print $2 }' mount/.kvpfs/status)" 2
	equal "$(dd if="$records" bs=1 skip=4 count=3 status=none)" b=2
	equal "$(sha256sum <mount/.kvpfs/pool)" "$(sha256sum <pool)"
	equal "$("$PYTHON" -c "print(len(open('$records').read()))")" 12
	cp mount/.kvpfs/pool copy
	cmp copy pool
	cp -r mount/.kvpfs/status out
	grep -qx records=3 out
}
it programs_read_files_that_have_no_size a=1 b=2 a=3

# Backup and restore

odd=('a=1' 'b=' 'a=2' 'two\nlines=\n\n' '%41=%25%' 'x\x3dy==' 'a/b=\xe2\x82\xac' '%=%')

backup_and_restore_give_the_same_bytes()
{
	remember
	cp "$records" backup
	echo scratch=1 >"$records"
	case $variant in
	cat) cat backup >"$records" ;;
	cat-append)
		: >"$records"
		cat backup >>"$records"
		;;
	cp) cp backup "$records" ;;
	tee) tee "$records" <backup >/dev/null ;;
	tee-append)
		truncate -s 0 "$records"
		tee -a "$records" <backup >/dev/null
		;;
	dd) dd if=backup of="$records" bs=7 status=none ;;
	dd-fsync) dd if=backup of="$records" conv=fsync status=none ;;
	dd-append)
		truncate -s 0 "$records"
		dd if=backup of="$records" bs=5 oflag=append conv=notrunc status=none
		;;
	sed) sed '' backup >"$records" ;;
	read)
		while IFS= read -r line; do
			printf '%s\n' "$line"
		done <backup >"$records"
		;;
	python)
		"$PYTHON" -c "
with open('backup') as backup, open('$records', 'w') as records:
    records.writelines(backup)"
		;;
	*)
		echo "no variant $variant"
		return 1
		;;
	esac
	unchanged
	cmp backup "$records"
}
for variant in cat cat-append cp tee tee-append dd dd-fsync dd-append sed read python; do
	it backup_and_restore_give_the_same_bytes "${odd[@]}"
done
variant=

big=()
for ((n = 0; n < 1024; n++)); do
	printf -v value %0900d "$n"
	big+=("CLOUD_INIT|1790000000|start|modules-final/config-$n=$value")
done

backup_and_restore_of_a_big_pool_give_the_same_bytes()
{
	remember
	cat "$records" >backup
	truncate -s 0 "$records"
	cat backup >"$records"
	unchanged
	sort -R backup >shuffled
	cp shuffled "$records"
	cmp shuffled "$records"
	cp backup "$records"
	unchanged
}
it backup_and_restore_of_a_big_pool_give_the_same_bytes "${big[@]}"

records_are_edited_by_filters()
{
	sed 's/=old/=new/' "$records" >edited
	cp edited "$records"
	records_are a=new b=new a=keep
	sort -u "$records" >sorted
	cat sorted >"$records"
	records_are a=keep a=new b=new
	grep -v ^b= "$records" >rest
	dd if=rest of="$records" status=none
	records_are a=keep a=new
	cat mount/.kvpfs/entries >last
	cat last >"$records"
	records_are a=new
}
it records_are_edited_by_filters a=old b=old a=keep

pool_file_is_a_copy_to_keep()
{
	cp mount/.kvpfs/pool kept
	echo other=1 >"$records"
	cat kept >pool
	records_are "${odd[@]}"
	equal "$(cat mount/b)" ''
	equal "$(cat mount/a)" 2
}
it pool_file_is_a_copy_to_keep "${odd[@]}"

# Adding

tee_appends_records()
{
	printf 'a=2\nb=3\n' | tee -a "$records" >/dev/null
	printf 'c=4' | tee -a "$records" >/dev/null
	records_are a=1 a=2 b=3 c=4
	echo d=5 | tee "$records" >/dev/null
	records_are d=5
}
it tee_appends_records a=1

python_appends_and_replaces_records()
{
	"$PYTHON" -c "
with open('$records', 'a') as records:
    for n in range(3):
        print(f'n={n}', file=records)
        records.flush()
    records.write('last=')"
	records_are a=1 n=0 n=1 n=2 last=
	"$PYTHON" -c "import pathlib; pathlib.Path('$records').write_text('b=2\\n')"
	records_are b=2
	"$PYTHON" -c "
with open('$records', 'r+') as records:
    text = records.read()
    records.seek(0)
    records.write(text.upper() + 'c=3\\n')
    records.truncate()"
	records_are B=2 c=3
	refuses 'Invalid argument' "$PYTHON" -c "
with open('$records', 'w') as records:
    records.write('c=3\\nbad\\n')"
	refuses 'Permission denied' "$PYTHON" -c "open('mount/.kvpfs/entries', 'a')"
	records_are B=2 c=3
}
it python_appends_and_replaces_records a=1

many_writers_append_at_once()
{
	local n
	for ((n = 0; n < 5; n++)); do
		(for ((i = 0; i < 10; i++)); do echo "n$n=$i" >>"$records"; done) &
		pids[n]=$!
	done
	wait "${pids[@]}"
	equal "$(pool list pool | wc -l)" 50
	for ((n = 0; n < 5; n++)); do
		equal "$(pool list pool | grep "^n$n=" | xargs)" \
			"$(printf "n$n=%s " {0..9} | xargs)"
	done
}
it many_writers_append_at_once

# Refusals

programs_tell_of_a_refused_line()
{
	local line reason='Invalid argument'
	remember
	for line in 'no equals' 'b=2\nno equals\n' 'b=%%41' 'b=\0'; do
		# shellcheck disable=SC2059
		printf "$line" >bad
		refuses "$reason" bash -c "cat bad >$records"
		refuses "$reason" bash -c "cat bad >>$records"
		refuses "$reason" cp bad "$records"
		refuses "$reason" bash -c "tee $records <bad >out"
		refuses "$reason" bash -c "tee -a $records <bad >out"
		refuses "$reason" dd if=bad of="$records" status=none
		refuses "$reason" dd if=bad of="$records" conv=fsync status=none
		settle
		unchanged
	done
	equal "$(grep -vc 'records: line [12]: ' log)" 0
}
it programs_tell_of_a_refused_line a=1

more_keys_than_the_cap_are_refused()
{
	remember
	seq -f 'key-%g=v' 1025 >many
	refuses 'No space left' cp many "$records"
	refuses 'No space left' bash -c "cat many >$records"
	settle
	unchanged
	head -n 1024 many >fits
	cat fits fits >"$records"
	equal "$(cat fits fits)" "$(pool list pool)"
	equal "$(stat -f -c %d mount)" 0
}
it more_keys_than_the_cap_are_refused a=1

files_for_reading_refuse_every_program()
{
	local name
	remember
	for name in entries status events; do
		name=mount/.kvpfs/$name
		refuses 'Permission denied' bash -c "echo a=2 >$name"
		refuses 'Permission denied' bash -c "echo a=2 >>$name"
		refuses 'Permission denied' bash -c ": >$name"
		refuses 'Permission denied' cp pool "$name"
		refuses 'Permission denied' truncate -s 0 "$name"
	done
	unchanged
}
it files_for_reading_refuse_every_program a=1

truncate_cuts_records()
{
	remember
	refuses 'Invalid argument' truncate -s 1M "$records"
	unchanged
	truncate -s 4 "$records"
	records_are a=1
	truncate -s 0 "$records"
	settle
	equal "$(stat -c %s pool)" 0
	equal "$(names -A mount)" ''
}
it truncate_cuts_records a=1 b=2

writing_in_place_changes_records()
{
	bash -c "echo b=2 1<>$records"
	records_are b=2 c=3
	echo C=4 >in
	dd if=in of="$records" conv=notrunc bs=1 seek=4 status=none
	records_are b=2 C=4
	remember
	refuses 'Invalid argument' dd if=in of="$records" conv=notrunc bs=1 seek=3
	refuses 'Invalid argument' dd if=in of="$records" bs=1 seek=9
	settle
	unchanged
}
it writing_in_place_changes_records a=1 c=3

directory_refuses_to_be_changed()
{
	remember
	refuses 'Operation not permitted' cp mount/a mount/.kvpfs/new
	refuses 'Operation not permitted' mkdir mount/.kvpfs/new
	refuses 'Operation not permitted' rm mount/.kvpfs/records
	refuses 'Operation not permitted' rm -f mount/.kvpfs/records
	refuses 'Operation not permitted' mv mount/.kvpfs/records mount/.kvpfs/r
	refuses 'Operation not permitted' rmdir mount/.kvpfs
	refuses 'Operation not permitted' ln -s x mount/.kvpfs/new
	refuses 'Operation not permitted' ln mount/a mount/.kvpfs/new
	refuses 'File exists' mkdir mount/.kvpfs
	refuses 'Operation not permitted' sed -i 's/1/2/' "$records"
	unchanged
	equal "$(names mount/.kvpfs)" 'entries events pool records status'
}
it directory_refuses_to_be_changed a=1

# Hidden

listings_and_searches_do_not_meet_the_directory()
{
	equal "$(names -a mount)" '. .. .hidden a'
	equal "$(names -AR mount)" 'mount: .hidden a'
	equal "$(find mount | sort | xargs)" 'mount mount/.hidden mount/a'
	equal "$(cd mount && bash -c 'shopt -s dotglob; echo *')" '.hidden a'
	equal "$(cd mount && echo .*)" \
		"$(cd "$(mktemp -d -p .)" && : >.hidden && echo .*)"
	equal "$(cd mount && dash -c 'echo .k* .[!.]*')" '.k* .hidden'
	equal "$(grep -r = mount || echo none)" none
	equal "$(du -a mount | wc -l)" 3
	equal "$(compgen -f mount/.k || echo none)" none
	tar -C mount -cf out.tar .
	equal "$(tar -tf out.tar | sort | xargs)" './ ./.hidden ./a'
	cp -a mount copy
	equal "$(names -A copy)" '.hidden a'
	[[ -d mount/.kvpfs ]]
	cat "$records" >/dev/null
	(cd mount/.kvpfs && cat records >/dev/null && cat ../a >/dev/null)
	equal "$(realpath mount/.kvpfs/../.kvpfs/records)" "$MNT/.kvpfs/records"
}
it listings_and_searches_do_not_meet_the_directory a=1 .hidden=2

removing_everything_leaves_the_directory()
{
	rm -rf mount/* mount/.[!.]*
	is_cleared
	echo a=1 >"$records"
	find mount -mindepth 1 -delete
	is_cleared
	echo a=1 >"$records"
	refuses mount rm -rf mount
	is_cleared
	equal "$(names mount/.kvpfs)" 'entries events pool records status'
}
it removing_everything_leaves_the_directory a=1 .hidden=2

key_of_the_same_name_is_another_file()
{
	equal "$(ls -A mount)" %2Ekvpfs
	equal "$(cat mount/%2Ekvpfs)" key
	equal "$(cat "$records")" .kvpfs=key
	cp mount/%2Ekvpfs mount/copy
	mv mount/copy mount/%2Ekvpfs
	rm mount/%2Ekvpfs
	is_cleared
	ls mount/.kvpfs >/dev/null
}
it key_of_the_same_name_is_another_file .kvpfs=key

finish
