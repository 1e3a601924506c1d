// WildDuck's POP3 class as a server of the messages in a directory. It sends asynchronously: each
// message is a stream whose pieces arrive in later turns of the event loop.
//
//   node wildduck.js PACKAGE DIRECTORY CERTIFICATE KEY PORT TLS_PORT

const fs = require('fs');
const path = require('path');
const { Readable } = require('stream');

const [wildduck, directory, certificate, key, ...ports] = process.argv.slice(2);
const POP3Server = require(path.join(wildduck, 'lib/pop3/server.js'));
const later = callback => setTimeout(callback, 1);

// content(NAME): returns a message with CRLF, also at its end.
function content(name) {
    const text = fs.readFileSync(path.join(directory, name), 'latin1').replace(/\r?\n/g, '\r\n');
    return text === '' || text.endsWith('\n') ? text : text + '\r\n';
}

async function* pieces(text) {
    for (let at = 0; at < text.length; at += 65536) {
        await new Promise(later);
        yield Buffer.from(text.slice(at, at + 65536), 'latin1');
    }
}

const onAuth = ({ username, password }, session, callback) => later(() =>
    callback(null, username === 'ann' && password === 'secret' && { user: { username } }));

const onListMessages = (session, callback) => later(() => {
    const messages = fs.readdirSync(directory).sort()
        .map(name => ({ id: name, size: content(name).length }));
    const size = messages.reduce((sum, message) => sum + message.size, 0);
    callback(null, { messages, count: messages.length, size });
});

const onFetchMessage = (message, session, callback) => later(() =>
    callback(null, Readable.from(pieces(content(message.id)), { objectMode: false })));

const onUpdate = (update, session, callback) => later(() => {
    for (const { id } of update.deleted)
        fs.unlinkSync(path.join(directory, id));
    callback();
});

ports.forEach((port, i) => {
    const server = new POP3Server({
        secure: i === 1, cert: fs.readFileSync(certificate), key: fs.readFileSync(key),
        disableSTARTTLS: true, ignoreSTARTTLS: true, id: { name: 'WildDuck' }, logger: false,
        onAuth, onListMessages, onFetchMessage, onUpdate,
    });
    server.loggelf = () => {};
    server.server.listen(Number(port), '127.0.0.1');
});
