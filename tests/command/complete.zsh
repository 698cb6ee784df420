# SPDX-License-Identifier: MIT
#
# What zsh makes of a line when TAB is pressed: complete.zsh FOLDER PATH LINE, with the
# folders of the completion and of the program.
zmodload zsh/zpty || exit 77
zpty -b shell zsh -f -i
zpty -w shell "PS1= PS2=; unset zle_bracketed_paste; fpath=(${(q)1} \$fpath)
	path=(${(q)2} \$path); autoload -Uz compinit; compinit -u -D
	bindkey '^I' complete-word; bindkey '^X' show; zle -N show
	show() { print -r -- \"<<\$BUFFER>>\"; BUFFER=; zle accept-line; }; print REA''DY"
zpty -r shell out '*READY*'
zpty -n -w shell "$3"$'\t\C-X'
zpty -r shell out '*<<*>>*'
print -r -- "${${out##*<<}%%>>*}"
