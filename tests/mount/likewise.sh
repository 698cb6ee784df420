#!/bin/bash
# SPDX-License-Identifier: MIT
#
# What shells and programs do in a mount is what they do in any directory: each command
# below runs in both, with the same output, complaints and exit status, and leaves the
# same files. What differs is in a list at the end, and in the manual.

# shellcheck source=lib.sh
. "${BASH_SOURCE[0]%/*}/lib.sh"

# Of Python, with which some programs below begin.
export temporary="import tempfile; f = tempfile.TemporaryFile(dir='.')"
export named="import tempfile; f = tempfile.NamedTemporaryFile(dir='.')"
export paths='from pathlib import Path'
export map='from mmap import mmap' os='from os import setxattr'
export shutil='from shutil import *'

# Commands are for the shell that is given as $variant, and so are not expanded here.
# shellcheck disable=SC2016

# What COMMAND prints, and how it ends, in the directory $1, into $1.out. It has another
# directory, $T, for files that come and go.
try()
{
	local status=0 shell
	export T=$top/beside-$1
	mkdir -p "$T"
	read -ra shell <<<"${variant:-bash}"
	(cd "$1" && timeout 120 "${shell[@]}" -c "$2") >"$1.raw" 2>&1 </dev/null ||
		status=$?
	sed "s#$top/$1#DIR#g; s#$T#T#g" "$1.raw" >"$1.out"
	echo "status $status" >>"$1.out"
}

# Each line of the standard input, the same in a directory and in the mount.
same()
{
	local command
	mkdir -p tree
	while IFS= read -r command; do
		try tree "$command"
		try mount "$command"
		diff tree.out mount.out || {
			echo "by: $command"
			return 1
		}
	done
	diff -r tree mount
}

shells_redirect()
{
	needs "${variant%% *}"
	same <<-'EOF'
		echo v > a; cat a
		printf v >> a; cat a; wc -c a; wc -c < a
		set -C; echo x > a
		set -C; echo x > new; echo y >| a; cat new a
		: > e; [ -s e ] && echo full; [ -e e ] && echo there; wc -c e
		while read -r l; do echo "<$l>"; done < a
		exec 3>x; echo 1 >&3; echo 2 >&3; exec 3>&-; cat x
		exec 3<>x; read -r l <&3; echo $l; echo new >&3; exec 3>&-; cat x
		(echo 1; echo 2) > b; { echo 3; /bin/echo 4; } >> b; cat b
		echo "a b" > 'name with  space'; echo g > '*'
		echo b > 'back\slash'; echo ü > 'ünï'
		for f in *; do echo "$f"; cat "$f"; done
		rm -- '*' ./name*; ls
		echo 1 > -n; cat ./-n; rm ./-n
		echo x > nodir/x; echo x > a/x; cat none; cat < none; echo x > ..; cd a
		test -r a && test -w a && test -f a && echo file
		test -x a; echo $?; test -d .
		cat <<X > here; cat here
	EOF
}
for variant in bash dash 'busybox sh' zsh mksh; do
	it shells_redirect
done
variant=

fish_redirects()
{
	needs fish
	variant=fish same <<-'EOF'
		echo v > a; cat a; cat < a
		set n 5; echo $n >> a; cat a
		echo x >? a; echo $status
		echo x >? b; cat b
		begin; echo 1; echo 2; end > c; cat c
		while read -l l; echo "<$l>"; end < c
		for f in *; echo $f; cat $f; end
		rm *; ls -A
	EOF
}
it fish_redirects

files_are_listed_and_tested()
{
	same <<-'EOF'
		echo 1 > a; echo 22 > b; : > e; ls
		ls -a; ls -s a > /dev/null; ls -lhS | wc -l
		stat -c '%n %s %F %A %h' a; stat -c %i a > /dev/null
		find . -type f | sort
		touch -d '2001-01-01 UTC' a; stat -c %Y a; touch -r a b; stat -c %Y b
		[ a -nt e ] || echo older; [ e -nt a ] && echo newer
		find . -type f -newer a
		find . -empty; find . -size +1c -type f | sort
		find . -name '[ab]' | sort; find . -links 1 -type f | wc -l
		find . -perm 644 | sort; find . -mmin -5 -type f
		find . -type f -mtime +1000 | sort
		du -b a b | sort; du -a . > /dev/null; df . > /dev/null; file a b e
		readlink a; realpath --relative-to=. a
		grep -r . | sort; grep -rl 2; grep -c . a b; ls | xargs -n 1 echo | sort
		printf 'a\0b\0' | xargs -0 cat
		wc a b; head -n 1 b; tail -n 1 b; tail -c 2 b; tac b
		od -c a; md5sum a; base64 b
		cmp a a; diff a b; comm a b; paste a b; join a b; diff -r . .
		getfattr -d a; lsattr a > /dev/null 2>&1; echo
	EOF
}
it files_are_listed_and_tested

files_come_and_go()
{
	same <<-'EOF'
		touch new; rm new; rm new; rm -f new; rm -rf new; unlink new
		echo 1 > a; cp a b; cp -p a c; cp -a a d; cp --reflink=auto a e
		cp -n b a; cp -b e d; ls; cat *
		mv a f; mv f a; mv -n a b; mv -f b c; mv -b c d; ls; cat *
		mv a ./a; cp a a
		echo in > $T/in; mv $T/in in; cat in
		mv in $T/out; cat $T/out; mv $T/out .; ls $T/in
		install -m 600 a i; stat -c %a i; install a i; stat -c %a i
		install -D a i2; cat i2
		chmod 600 a; chmod u+x a; chmod g=r a; stat -c %a a
		chmod 644 a; chmod 644 i i2
		truncate -s 1 a; cat a; truncate -s 0 a; wc -c a; truncate -s -1 a
		truncate -c -s 0 none
		mktemp -p . k.XXXX > /dev/null; ls k.* | wc -l; rm k.*
		mktemp -u -p . k.XXXX > /dev/null
		echo o > o; tee t1 t2 < o; tee -a t1 < o; cat t1 t2
		dd if=o of=p status=none; cat p
		dd if=o of=p bs=1 seek=2 conv=notrunc status=none; cat p
		dd if=/dev/null of=p status=none; wc -c p
		ls | shuf | xargs rm; ls -A; rmdir .; rm -r .; rm .
		seq 40 | xargs touch; ls | wc -l; rm *[05]; ls | xargs
		find . -type f -delete; ls -A
		flock l echo locked; flock -n l true; flock -s l cat l; nice cat l
		ionice -c 3 cat l; rm l
		python3 -c "$temporary; f.write(b'x'); f.seek(0); print(f.read())"; ls
		python3 -c "$named; f.write(b'x'); f.flush(); print(open(f.name).read())"
		ls
	EOF
}
it files_come_and_go

files_are_edited()
{
	same <<-'EOF'
		printf 'b\na\nc\n' > s; sort -o s s; cat s; sed -i s/a/A/ s
		sed -i.bak s/A/B/ s; cat s s.bak
		perl -pi -e s/B/C/ s; perl -i.orig -pe s/C/D/ s; cat s s.orig
		tr a-z A-Z < s > u; cat u
		printf '1s/D/E/\nw\nq\n' | ed -s s; cat s; split -b 2 s sp.; ls sp.*
		cat sp.*; csplit -s s 2; cat xx*; rm xx* sp.*
		uniq s q; cat q; iconv -t utf8 s -o ic; cat ic
		gzip -c s | gunzip > z; cat z; cmp s z
		printf -- '--- s\n+++ s\n@@ -1 +1 @@\n-E\n+F\n b\n' > $T/p; sed 1q s
		cat s > w; mv w s; cat s
		vim -n -es -u NONE -c 'normal Ovim' -c wq s; cat s; ls
		busybox sed -i s/vim/VIM/ s; busybox cat s; busybox cp s b1
		busybox mv b1 b2; busybox ls b2; busybox rm b2
		busybox vi --help > /dev/null 2>&1; busybox touch b3
		busybox truncate -s 0 b3; busybox wc -c b3; busybox rm b3
		python3 -c "$paths; Path('pp').write_text('x')"
		python3 -c "$paths; print(Path('pp').rename('pq').stat().st_size)"
		python3 -c "$map; f = open('pq'); print(mmap(f.fileno(), 0, access=1)[:])"
		perl -e 'open F, ">", "pl"; print F "a\n"; close F; rename "pl", "pm"'
		perl -e 'print -s "pm"; utime 1, 2, "pm"; print +(stat "pm")[9]'
	EOF
}
it files_are_edited

archives_come_and_go()
{
	needs rsync cpio bsdtar
	same <<-'EOF'
		echo 1 > a; echo 2 > 'b c'; : > e
		tar cf $T/o.tar .; rm *; tar xf $T/o.tar; ls; cat *
		bsdtar cf $T/o.tar .; rm *; bsdtar xf $T/o.tar; ls
		busybox tar cf $T/o.tar .; rm *; busybox tar xf $T/o.tar; ls
		find . -type f | cpio -o --quiet > $T/o.cpio; rm *
		cpio -i --quiet < $T/o.cpio; ls; cat *
		rsync -a . $T/copy; rm a; rsync -a $T/copy/ .; cat a
		echo more > $T/copy/more; rsync -a --delete $T/copy/ .; ls
		rsync -a --delete . $T/copy; rsync -ac $T/copy/ .; rsync -aui $T/copy/ .
		rsync -aAX . $T/copy; ls $T/copy; rm -r $T/copy
		cp -r . $T/copy; diff -r . $T/copy; cp -r $T/copy/. .; cp -a $T/copy/. .
		ls; rm -r $T/copy
		python3 -c "import shutil as s; s.copy2('a', 'i'); s.copystat('a', 'i')"
		python3 -c "import shutil as s; s.move('i', '$T/i'); s.move('$T/i', 'j')"
		ls
		python3 -c "import shutil as s; s.copytree('.', '$T/t')"
		python3 -c "$shutil; copytree('$T/t', '.', dirs_exist_ok=True)"
		ls; rm *; ls -A
	EOF
}
it archives_come_and_go

# What differs, as the manual has it.

what_keys_cannot_be_is_refused_in_words()
{
	local why command
	while IFS=: read -r why command; do
		refuses "$why" bash -c "cd mount && $command"
	done <<-'EOF'
		Operation not permitted:mkdir d
		Operation not permitted:ln k l
		Operation not permitted:ln -s k l
		Operation not permitted:mkfifo l
		Operation not permitted:python3 -c "$temporary; tempfile.mkdtemp(dir='.')"
		Operation not supported:fallocate -l 10 k
		Operation not supported:python3 -c "$os; setxattr('k', 'user.a', b'1')"
		Invalid argument:truncate -s 10 k
		Invalid argument:printf 'a\0b' > k
		Invalid argument:echo v > %41
		Invalid argument:gzip k
		multibyte:printf '\377\n' > k
		File too large:head -c 1023 /dev/zero | tr '\0' x > k
		File too large:python3 -c 'open("k", "w", 1).write("x" * 1023 + "\n")'
		File name too long:echo v > $(printf %0255d 0)
		No such device:python3 -c "$map; import os; mmap(os.open('full', 2), 0)"
	EOF
	pool_is k=old full=v
}
it what_keys_cannot_be_is_refused_in_words k=old full=v

repositories_are_refused_in_words()
{
	needs git
	refuses 'Operation not permitted' git init -q mount
	pool_is k=old
}
it repositories_are_refused_in_words k=old

value_in_pieces_is_stored_in_pieces()
{
	printf %01500d 0 >long
	refuses 'File too large' dd if=long of=mount/k bs=500
	pool_is "k=$(printf %01000d 0)"
}
it value_in_pieces_is_stored_in_pieces k=old

finish
