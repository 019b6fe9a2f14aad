// A server on loopback for tests that speaks the protocol of MongoDB 4.2: mongo-java-server by Benedikt Waldvogel and
// others, https://github.com/bwaldvogel/mongo-java-server, BSD-3-Clause. It has no users, and one lock per collection.
// dev/mongo runs it:
//   java MongoServer.java PORT H2-FILE [CERTIFICATE KEY]     (both PEM; the key as PKCS #8)
import de.bwaldvogel.mongo.backend.h2.H2Backend;
import java.io.FileInputStream;
import java.net.InetSocketAddress;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyFactory;
import java.security.cert.CertificateFactory;
import java.security.cert.X509Certificate;
import java.security.spec.PKCS8EncodedKeySpec;
import java.util.Base64;

public class MongoServer {
  public static void main(String[] arguments) throws Exception {
    var server = new de.bwaldvogel.mongo.MongoServer(new H2Backend(arguments[1]));
    if (arguments.length > 2) {
      var pem = Files.readString(Path.of(arguments[3])).replaceAll("-----[A-Z ]+-----", "").replaceAll("\\s", "");
      var key = KeyFactory.getInstance("RSA").generatePrivate(new PKCS8EncodedKeySpec(Base64.getDecoder().decode(pem)));
      try (var certificate = new FileInputStream(arguments[2])) {
        var x509 = CertificateFactory.getInstance("X.509");
        server.enableSsl(key, null, (X509Certificate) x509.generateCertificate(certificate));
      }
    }
    server.bind(new InetSocketAddress("127.0.0.1", Integer.parseInt(arguments[0])));
    Runtime.getRuntime().addShutdownHook(new Thread(server::shutdownNow));  // writes unsaved data to the file
    System.out.println("ready");
  }
}
