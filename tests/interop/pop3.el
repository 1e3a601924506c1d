;; Emacs' pop3.el, which Gnus uses: pipelines RETR, then DELE. Each message is written to a file in
;; got/, not to an mbox: after byte-stuffing is undone, before a "From " line is added.
;;
;;   HOST=... PORT=... POP_USER=... PASSWORD=... DELETE=yes|no emacs -Q --batch -l pop3.el

(require 'pop3)
(defvar number 0)
(defun save-message (start end)
  (let ((coding-system-for-write 'binary))
    (write-region start end (format "got/%d" (setq number (1+ number))) nil 'silent)))
(advice-add 'pop3-munge-message-separator :override #'save-message)
(setq nsm-trust-local-network t      ; else batch mode rejects an unencrypted connection
      pop3-mailhost (getenv "HOST")
      pop3-port (string-to-number (getenv "PORT"))
      pop3-maildrop (getenv "POP_USER")
      pop3-password (getenv "PASSWORD")
      pop3-uidl-file (expand-file-name "uidl")
      pop3-leave-mail-on-server (equal (getenv "DELETE") "no"))
(defalias 'pop3-uidl-add-xheader #'ignore)
(pop3-movemail (expand-file-name "mbox"))
