// Jakarta Mail's POP3 provider: fetches every message into got/, and writes the listing. Uses the
// whole command set: CAPA, USER, PASS, STAT, LIST, UIDL, TOP, RETR, NOOP, RSET, DELE and QUIT.
//
//   java -cp JARS JakartaMail.java HOST PORT USER PASSWORD yes|no      (yes: deletes them)

import java.io.ByteArrayOutputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashSet;
import java.util.Properties;
import java.util.Set;

import com.sun.mail.pop3.POP3Folder;
import com.sun.mail.pop3.POP3Message;
import com.sun.mail.pop3.POP3Store;
import jakarta.mail.Flags;
import jakarta.mail.Folder;
import jakarta.mail.Message;
import jakarta.mail.Session;

class JakartaMail {
    public static void main(String[] args) throws Exception {
        boolean delete = args[4].equals("yes");
        Properties properties = new Properties();
        properties.setProperty("mail.pop3.timeout", "200000");
        properties.setProperty("mail.pop3.rsetbeforequit", "true");
        Session session = Session.getInstance(properties);
        POP3Store store = (POP3Store) session.getStore("pop3");
        store.connect(args[0], Integer.parseInt(args[1]), args[2], args[3]);
        if (!store.capabilities().keySet().containsAll(Set.of("TOP", "UIDL", "PIPELINING")))
            throw new Exception("capabilities: " + store.capabilities());
        POP3Folder folder = (POP3Folder) store.getFolder("INBOX");
        folder.open(Folder.READ_WRITE);
        Message[] messages = folder.getMessages();
        int[] sizes = folder.getSizes();
        StringBuilder listing = new StringBuilder();
        Set<String> ids = new HashSet<>();
        for (Message message : messages) {
            int n = message.getMessageNumber();
            listing.append(n + " " + sizes[n - 1] + "\n");
            if (!ids.add(folder.getUID(message)))
                throw new Exception("two messages with the unique-id " + folder.getUID(message));
            ByteArrayOutputStream content = new ByteArrayOutputStream();
            message.writeTo(content);
            Files.write(Path.of("got/" + n), content.toByteArray());
            byte[] top = ((POP3Message) message).top(0).readAllBytes();
            String text = content.toString("ISO-8859-1");
            if (!text.startsWith(new String(top, "ISO-8859-1")))
                throw new Exception("TOP " + n + " 0 is not how the message begins");
            if (delete)
                message.setFlag(Flags.Flag.DELETED, true);
        }
        Files.writeString(Path.of("listing"), listing);
        if (!folder.isOpen())
            throw new Exception("NOOP failed");
        folder.close(delete);
        store.close();
    }
}
