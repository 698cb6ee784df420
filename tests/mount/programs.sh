#!/bin/bash
# SPDX-License-Identifier: MIT
#
# Everyday programs on a mount: what shells, coreutils, editors, archivers and
# rsync do with keys must arrive in the pool byte for byte, a refusal must be
# told by the program, and nothing else (temporary files, backups) may stay.

# shellcheck source=lib.sh
. "${BASH_SOURCE[0]%/*}/lib.sh"

long=$(printf '%01022d' 0)

contents_of() { cat "$1"; echo .; }    # with its trailing newlines

# Shells

redirection_replaces_the_value()
{
	"$variant" -c 'echo v >mount/k; echo new >mount/n'
	pool_is 'k=v\n' 'n=new\n'
}

appending_redirection_adds_to_the_value()
{
	"$variant" -c 'echo v >>mount/k; echo w >>mount/k; echo x >>mount/n'
	pool_is 'k=oldv\nw\n' 'n=x\n'
}

empty_redirection_empties_the_value()
{
	"$variant" -c ': >mount/k; : >mount/n; : >>mount/l'
	eventually pool_is k= n= 'l=left alone'
}

redirection_of_several_commands_keeps_all_output()
{
	"$variant" -c '(echo a; echo b) >mount/k; { echo c; echo d; } >mount/n'
	pool_is 'k=a\nb\n' 'n=c\nd\n'
}

kept_descriptor_writes_on()
{
	"$variant" -c 'exec 3>mount/k; echo a >&3; cat mount/k
		echo b >&3; exec 3>&-' >out
	equal "$(<out)" a
	pool_is 'k=a\nb\n'
}

refused_echo_says_why_and_keeps_the_old_value()
{
	local reasons=('File too large' 'Invalid argument' multibyte)
	[[ $variant != dash ]] || reasons=('I/O error'{,,})     # all it ever says
	refuses "${reasons[0]}" "$variant" -c "echo 1$long >mount/k"
	refuses "${reasons[0]}" "$variant" -c "echo 1$long >>mount/n"
	refuses "${reasons[1]}" "$variant" -c "printf 'a\\000b' >mount/k"
	refuses "${reasons[2]}" "$variant" -c "printf '\\377\\n' >mount/n"
	refuses 'Invalid argument' "$variant" -c "echo v >mount/%41"
	refuses 'File name too long' "$variant" -c "echo v >mount/${long::255}"
	pool_is k=old
	equal "$(ls mount)" k
}

noclobber_refuses_an_existing_key()
{
	refuses mount/k "$variant" -c 'set -C; echo v >mount/k'
	"$variant" -c 'set -C; echo v >mount/n'
	pool_is k=old 'n=v\n'
}

descriptor_for_reading_and_writing_overwrites_in_place()
{
	"$variant" -c 'echo ab 1<>mount/k; read -r line <mount/k; echo "$line"' >out
	equal "$(<out)" ab
	pool_is 'k=ab\n_old'
}

input_redirection_and_globs_find_the_keys()
{
	"$variant" -c 'cd mount; for key in *; do
			read -r value <"$key"; echo "$key $value"
		done' >out
	equal "$(<out)" $'a 1\nb 2'
}

descriptors_can_be_opened_again_by_their_path()
{
	{
		pool put pool k=changed
		"$variant" -c 'cat </dev/stdin'
	} <mount/k >out
	[[ $(<out) == old || $(<out) == changed ]]
	"$variant" -c 'sh -c "echo v >/dev/fd/3"' 3>mount/k
	eventually pool_is 'k=v\n'
}

for variant in bash dash; do
	it redirection_replaces_the_value k=old
	it appending_redirection_adds_to_the_value k=old
	it empty_redirection_empties_the_value k=old 'l=left alone'
	it redirection_of_several_commands_keeps_all_output k=old
	it kept_descriptor_writes_on k=old
	it refused_echo_says_why_and_keeps_the_old_value k=old
	it noclobber_refuses_an_existing_key k=old
	it descriptor_for_reading_and_writing_overwrites_in_place k=old_old
	it input_redirection_and_globs_find_the_keys 'a=1\n' 'b=2\n'
	it descriptors_can_be_opened_again_by_their_path k=old
done
variant=

# Copying and moving

cat_prints_exact_bytes()
{
	equal "$(contents_of mount/k; cat mount/l mount/empty)" $'v\n\n.\nno newline'
	refuses 'No such file' cat mount/missing
	cat >mount/k <<<'here'
	pool_is 'k=here\n' 'l=no newline' empty=
}
it cat_prints_exact_bytes 'k=v\n\n' 'l=no newline' empty=

cp_copies_in_over_out_and_within()
{
	echo file >file
	cp file mount/new
	cp file mount/k
	cp mount/l mount/copy
	cp mount/l out
	pool_is 'k=file\n' l=left 'new=file\n' copy=left
	equal "$(<out)" left
}
it cp_copies_in_over_out_and_within k=old l=left

cp_that_preserves_succeeds_when_owner_and_mode_are_the_same()
{
	mkdir tree
	echo 1 >tree/a
	echo 2 >tree/b
	touch -d '2001-01-01 UTC' tree/a
	cp -p tree/a mount/k
	cp -a tree/b mount/
	cp -a tree/. mount/
	pool_is 'k=1\n' 'a=1\n' 'b=2\n'
	cp -a mount/. copy
	diff -r mount copy
	equal "$(stat -c %Y copy/a)" "$(stat -c %Y tree/a)"
}
it cp_that_preserves_succeeds_when_owner_and_mode_are_the_same k=old

cp_of_a_value_that_is_too_long_fails_and_leaves_nothing()
{
	echo "1$long" >file
	refuses 'File too large' cp file mount/new
	refuses 'File too large' cp file mount/k
	pool_is k=old
	equal "$(ls mount)" k
}
it cp_of_a_value_that_is_too_long_fails_and_leaves_nothing k=old

mv_moves_in_over_out_and_within()
{
	echo in >in
	echo over >over
	mv in mount/in
	mv over mount/k
	mv mount/out out
	mv mount/a mount/b
	mv mount/x mount/y
	pool_is 'in=in\n' 'k=over\n' b=A y=X
	equal "$(<out)" value
	[[ ! -e in && ! -e over ]]
}
it mv_moves_in_over_out_and_within k=old out=value a=A x=X y=Y

mv_without_clobber_keeps_the_target()
{
	mv -n mount/a mount/b || true
	mv -n mount/a mount/c
	pool_is b=B c=A
}
it mv_without_clobber_keeps_the_target a=A b=B

install_replaces_the_key()
{
	echo v >file
	install -m 644 file mount/k
	install -m 644 file mount/new
	pool_is 'k=v\n' 'new=v\n'
}
it install_replaces_the_key k=old

# Removing

many=()
for ((n = 0; n < 1024; n++)); do
	many+=("CLOUD_INIT|1790000000|start|modules-final/config-$n=$n")
done

rm_removes_keys()
{
	rm mount/a
	rm -f mount/missing mount/b
	refuses 'No such file' rm mount/missing
	pool_is c=3
}
it rm_removes_keys a=1 b=2 c=3

rm_of_everything_empties_the_pool()
{
	rm -r mount/*
	pool_is
	equal "$(ls -A mount)" ''
}
it rm_of_everything_empties_the_pool "${many[@]}"

rm_recursive_of_the_mountpoint_removes_all_keys()
{
	refuses mount rm -rf mount
	pool_is
}
it rm_recursive_of_the_mountpoint_removes_all_keys "${many[@]}"

find_delete_removes_what_it_selects()
{
	find mount -type f -name '*-7*' -delete
	equal "$(find mount -type f | wc -l)" "$(pool keys pool | grep -cv -- -7)"
	equal "$(pool keys pool | grep -c -- -7 || true)" 0
	find mount -mindepth 1 -delete
	pool_is
}
it find_delete_removes_what_it_selects "${many[@]}"

# Listing and searching

ls_shows_names_sizes_and_modes()
{
	chmod 640 pool
	equal "$(ls mount)" $'a%2Fb\nempty\nk'
	ls -l --time-style=+%s mount >out 2>err
	equal "$(<err)" ''
	equal "$(awk '/^-/ { print $1, $2, $5, $6, $7 }' out)" \
		"$(stat -c '-rw-r----- 1 3 %Y a%%2Fb
-rw-r----- 1 0 %Y empty
-rw-r----- 1 6 %Y k' pool)"
	ls -laiZR mount >/dev/null
	equal "$(stat -c '%F %s %h' mount/k)" 'regular file 6 1'
}
it ls_shows_names_sizes_and_modes a/b=1/2 empty= 'k=value\n'

find_sees_types_and_sizes()
{
	equal "$(find mount -type f -size +2c)" mount/long
	equal "$(find mount -type f -empty)" mount/empty
	equal "$(find mount -mindepth 1 -not -type f)" ''
}
it find_sees_types_and_sizes empty= s=ab long=abcdef

find_and_xargs_pass_every_name_on()
{
	find mount -type f -print0 | sort -z | xargs -0 -n 1 cat >out
	equal "$(<out)" 12345
	printf '%s\n' v w x y | xargs -P 4 -I{} sh -c 'echo {} >"mount/new {}"'
	pool_is ' =1' '-n=2' 'a b=3' "q'=4" 'x\ny=5' \
		'new v=v\n' 'new w=w\n' 'new x=x\n' 'new y=y\n'
}
it find_and_xargs_pass_every_name_on ' =1' '-n=2' 'a b=3' "q'=4" 'x\ny=5'

grep_searches_recursively()
{
	equal "$(grep -r needle mount | sort)" $'mount/a:a needle\nmount/c:needle too'
	equal "$(grep -rl . mount | wc -l)" 3
}
it grep_searches_recursively 'a=a needle\n' 'b=hay\n' 'c=needle too'

diff_compares_trees()
{
	mkdir tree
	printf 1 >tree/a
	printf 2 >tree/b
	diff -r mount tree
	printf 3 >mount/b
	equal "$(diff -rq mount tree)" 'Files mount/b and tree/b differ'
}
it diff_compares_trees a=1 b=2

df_and_stat_count_keys()
{
	equal "$(df --output=itotal,iused,iavail mount | tail -n 1 | xargs)" '1024 3 1021'
	equal "$(df -B 2560 --output=size,used,avail mount | tail -n 1 | xargs)" \
		'1024 3 1021'
	equal "$(stat -f -c '%l %b %f %a %c %d' mount)" '1024 1024 1021 1021 1024 1021'
}
it df_and_stat_count_keys a=1 b=2 c=3

filters_read_values()
{
	equal "$(wc -c <mount/k)" 13
	equal "$(head -n 1 mount/k)" one
	equal "$(tail -n 1 mount/k)" three
	equal "$(tail -c 5 mount/k)" three
	equal "$(sort mount/k | xargs)" 'one three two'
	equal "$(sha256sum <mount/k)" "$(printf 'one\ntwo\nthree' | sha256sum)"
	cmp mount/k mount/k
	sort -o mount/k mount/k
	pool_is 'k=one\nthree\ntwo\n'
}
it filters_read_values 'k=one\ntwo\nthree'

# Editing

sed_in_place_edits_the_value()
{
	sed -i 's/old/new/' mount/k
	pool_is 'k=new value\n'
	sed -i.bak 's/new/newer/' mount/k
	pool_is 'k=newer value\n' 'k.bak=new value\n'
}
it sed_in_place_edits_the_value 'k=old value\n'

perl_in_place_edits_the_value()
{
	needs perl
	perl -pi -e 's/old/new/' mount/k
	pool_is 'k=new value\nsecond\n'
}
it perl_in_place_edits_the_value 'k=old value\nsecond\n'

ed_edits_the_value()
{
	needs ed
	printf '%s\n' '1s/old/new/' a 'a line' . w q | ed -s mount/k
	pool_is 'k=new value\na line\n'
}
it ed_edits_the_value 'k=old value\n'

vim_edits_the_value()
{
	needs vim
	vim -n -es -u NONE -c "set $variant" -c '%s/old/new/' -c wq mount/k
	pool_is 'k=new value\n'
	vim -n -es -u NONE -c "set $variant" -c 'normal ifresh' -c wq mount/fresh
	pool_is 'k=new value\n' 'fresh=fresh\n'
}
for variant in writebackup nowritebackup backupcopy=yes backupcopy=no nofsync; do
	it vim_edits_the_value 'k=old value\n'
done

vim_backup_is_a_key_of_its_own()
{
	needs vim
	vim -n -es -u NONE -c "set backup backupskip= $variant" \
		-c '%s/old/new/' -c wq mount/k
	pool_is 'k=new value\n' 'k~=old value\n'
}
for variant in backupcopy=yes backupcopy=no; do
	it vim_backup_is_a_key_of_its_own 'k=old value\n'
done
variant=

# A swap file does not fit into a value; vim says so and edits without.
vim_edits_the_value_although_it_can_have_no_swap_file()
{
	needs vim
	vim -es -u NONE -c '%s/old/new/' -c wq mount/k || true
	pool_is 'k=new value\n'
}
it vim_edits_the_value_although_it_can_have_no_swap_file 'k=old value\n'

# Archives

tar_brings_values_in_and_out()
{
	tar -C mount -cf out.tar .
	mkdir out tree
	tar -C out -xf out.tar
	diff -r mount out
	printf new >tree/k
	printf 3 >tree/n
	tar -C tree -cf in.tar .
	tar -C mount -xf in.tar
	pool_is k=new a/b=2 n=3
	tar -C mount -xf out.tar ./k
	pool_is k=1 a/b=2 n=3
}
it tar_brings_values_in_and_out k=1 a/b=2

rsync_synchronises_in()
{
	needs rsync
	mkdir tree
	echo 'shorter' >tree/k
	echo 'longer than before' >tree/s
	echo 'new' >tree/n
	rsync -a "$variant" tree/ mount/
	pool_is 'k=shorter\n' 's=longer than before\n' 'n=new\n' extra=1
	rsync -a "$variant" --delete tree/ mount/
	pool_is 'k=shorter\n' 's=longer than before\n' 'n=new\n'
	diff -r tree mount
}
for variant in --whole-file --no-whole-file --inplace --checksum; do
	it rsync_synchronises_in 'k=a long old value\n' s=s extra=1
done
variant=

rsync_synchronises_out()
{
	needs rsync
	rsync -a mount/ tree/
	diff -r mount tree
	echo changed >mount/k
	rsync -a --delete mount/ tree/
	diff -r mount tree
}
it rsync_synchronises_out 'k=value\n' a/b=1 empty=

# Writing

tee_writes_and_appends()
{
	echo v | tee mount/k mount/n >/dev/null
	echo w | tee -a mount/k >/dev/null
	pool_is 'k=v\nw\n' 'n=v\n'
	echo "1$long" >file
	refuses 'File too large' bash -c 'tee mount/k <file >/dev/null'
	pool_is 'k=v\nw\n' 'n=v\n'
}
it tee_writes_and_appends k=old

dd_writes_blocks_of_any_size()
{
	printf 'a€b𝄞c' >file
	dd if=file of=mount/k bs=1 status=none
	dd if=file of=mount/n bs=3 conv=fsync status=none
	pool_is 'k=a€b𝄞c' 'n=a€b𝄞c'
	printf X | dd of=mount/k conv=notrunc bs=1 seek=4 status=none
	printf Y | dd of=mount/n oflag=append conv=notrunc status=none
	pool_is 'k=a€X𝄞c' 'n=a€b𝄞cY'
	equal "$(dd if=mount/k bs=1 skip=4 count=1 status=none)" X
	refuses 'Invalid argument' dd if=/dev/zero of=mount/k bs=10 count=1 status=none
	printf X >file
	refuses 'Invalid argument' dd if=file of=mount/k bs=1 seek=100 status=none
	pool_is 'k=a€X𝄞c' 'n=a€b𝄞cY'
}
it dd_writes_blocks_of_any_size k=old

touch_creates_and_leaves_values_alone()
{
	touch mount/k mount/new
	touch -c mount/missing
	touch -d '2001-01-01 UTC' mount/k mount/old
	eventually pool_is k=value new= old=
	equal "$(stat -c %Y mount/k mount/old | uniq)" "$(date -d '2001-01-01 UTC' +%s)"
	touch -r mount/k mount/new
	[[ ! mount/new -nt mount/k && mount/new -ot pool ]]
	touch mount/k
	[[ mount/k -nt mount/old ]]
}
it touch_creates_and_leaves_values_alone k=value

truncate_shrinks_and_refuses_to_grow()
{
	truncate -s 3 mount/k
	pool_is k=val
	refuses 'Invalid argument' truncate -s 4 mount/k
	refuses 'File too large' truncate -s 1M mount/k
	pool_is k=val
	truncate -s 0 mount/k
	pool_is k=
}
it truncate_shrinks_and_refuses_to_grow k=value

python_writes_in_every_mode()
{
	local wanted=(w=w a=old+a 'r=READ+' 'x={"key": ["value", 1]}' 'b=a€b' p=path
		t=replaced)
	cat >script.py <<-'EOF'
		import json, os, pathlib, sys
		with open('mount/w', 'w') as file:
		    file.write('w')
		with open('mount/a', 'a') as file:
		    file.write('+a')
		with open('mount/r', 'r+') as file:
		    equal = file.read() == 'read'
		    file.seek(0)
		    file.write('READ+')
		    file.truncate()
		with open('mount/x', 'x') as file:
		    json.dump({'key': ['value', 1]}, file)
		with open('mount/b', 'wb', buffering=0) as file:
		    for byte in 'a€b'.encode():
		        file.write(bytes([byte]))
		pathlib.Path('mount/p').write_text('path')
		with open('mount/t.tmp', 'w') as file:
		    file.write('replaced')
		    file.flush()
		    os.fsync(file.fileno())
		os.replace('mount/t.tmp', 'mount/t')
		sys.exit(not equal)
	EOF
	"$PYTHON" script.py
	pool_is "${wanted[@]}"
	refuses 'File exists' "$PYTHON" -c 'open("mount/x", "x")'
	refuses 'File too large' "$PYTHON" -c '
with open("mount/w", "w") as file:
    file.write("w" * 1023)'
	eventually pool_is "${wanted[@]}"
}
it python_writes_in_every_mode a=old r=read t=old

# What keys cannot be

directories_and_links_are_refused()
{
	refuses 'Operation not permitted' mkdir mount/d
	refuses 'Operation not permitted' ln mount/k mount/l
	refuses 'Operation not permitted' ln -s k mount/l
	refuses 'Operation not permitted' mkfifo mount/l
	refuses 'Operation not permitted' chmod 700 mount
	chmod 755 mount
	pool_is k=v
}
it directories_and_links_are_refused k=v

programs_can_lock_a_key()
{
	needs flock
	flock mount/k cat mount/k >out
	equal "$(<out)" v
}
it programs_can_lock_a_key k=v

finish
