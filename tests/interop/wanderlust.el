;; Wanderlust, a mail program in Emacs: retrieves every message with its library ELMO.
;;
;;   HOST=... PORT=... POP_USER=... PASSWORD=... DELETE=yes|no emacs --batch -l wanderlust.el

(require 'elmo)
(require 'elmo-pop3)
(setq elmo-msgdb-directory (expand-file-name "elmo")
      elmo-cache-directory (expand-file-name "elmo/cache")
      elmo-folder-info-hashtb (elmo-make-hash)
      nsm-trust-local-network t)        ; else batch mode rejects an unencrypted connection
(let* ((coding-system-for-write 'binary)
       (user (getenv "POP_USER"))
       (folder (elmo-make-folder (format "&%s/user@%s:%s" user (getenv "HOST") (getenv "PORT")))))
  (advice-add 'elmo-get-passwd :override (lambda (_) (copy-sequence (getenv "PASSWORD"))))
  (elmo-folder-open folder)
  (let ((numbers (elmo-folder-list-messages folder)))
    (dolist (number numbers)
      (with-temp-buffer
        (set-buffer-multibyte nil)
        (elmo-message-fetch folder number (elmo-make-fetch-strategy 'entire) nil (current-buffer))
        (write-region (point-min) (point-max) (format "got/%d" number) nil 'silent)))
    (when (equal (getenv "DELETE") "yes")
      (elmo-folder-delete-messages folder numbers)))
  (elmo-folder-close folder)
  (elmo-network-clear-session-cache))
