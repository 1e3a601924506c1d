// Commons Net's POP3 client: fetches every message into got/, and writes the listing.
//
//   java -cp JAR CommonsNet.java HOST PORT USER PASSWORD yes|no      (yes: deletes them)

import java.io.Reader;
import java.io.StringWriter;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;

import org.apache.commons.net.pop3.POP3Client;
import org.apache.commons.net.pop3.POP3MessageInfo;

class CommonsNet {
    static POP3Client pop = new POP3Client();

    static void require(boolean good, String what) throws Exception {
        if (!good)
            throw new Exception(what + ": " + pop.getReplyString());
    }

    static String text(Reader reader) throws Exception {
        StringWriter text = new StringWriter();
        reader.transferTo(text);
        reader.close();
        return text.toString();
    }

    public static void main(String[] args) throws Exception {
        pop.setDefaultTimeout(20000);
        pop.connect(args[0], Integer.parseInt(args[1]));
        require(pop.capa(), "CAPA");
        require(pop.login(args[2], args[3]), "login");
        StringBuilder listing = new StringBuilder();
        POP3MessageInfo[] messages = pop.listMessages();
        POP3MessageInfo[] ids = pop.listUniqueIdentifiers();
        require(ids.length == messages.length && pop.status().number == ids.length, "counts");
        for (POP3MessageInfo message : messages) {
            int n = message.number;
            listing.append(n + " " + message.size + "\n");
            require(pop.listUniqueIdentifier(n).identifier.equals(ids[n - 1].identifier), "UIDL");
            String content = text(pop.retrieveMessage(n));
            Files.write(Path.of("got/" + n), content.getBytes(StandardCharsets.ISO_8859_1));
            require(content.startsWith(text(pop.retrieveMessageTop(n, 3))), "TOP");
            require(pop.deleteMessage(n), "DELE");
        }
        if (args[4].equals("no"))
            require(pop.reset(), "RSET");
        Files.writeString(Path.of("listing"), listing);
        require(pop.noop(), "NOOP");
        require(pop.logout(), "QUIT");
        pop.disconnect();
    }
}
