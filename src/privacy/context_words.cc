#include "privacy/context_words.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <string>
#include <vector>

namespace tack::privacy {
namespace {

// Words and phrases of a topic, with '|' between them, folded.
struct Words {
  Topics topics;
  std::string_view list;
};

constexpr std::array kWords = {
    Words{kAboutPhone,
          "phone|phones|telephone|tel|tels|mobile|cell|cellphone|cellular|landline|fax|call|calls|"
          "called|calling|dial|ring|text|texted|sms|whatsapp|hotline|voicemail|callback|contact|"
          "contatto|contattare|contacto|kontakt|"
          "reach|reachable|msisdn|handy|telefon|telefonnummer|mobil|mobilnummer|handynummer|"
          "rufnummer|festnetz|ruckruf|anrufen|erreichbar|telefax|portable|telephonique|fixe|"
          "appeler|appelez|joignable|telefono|movil|celular|llamar|llame|cellulare|chiamare|"
          "chiamami|telefone|ligar|ligue|telefoon|telefoonnummer|mobiel|bellen|bel|gsm|komorka|"
          "komorkowy|telefonu|zadzwon|dzwonic|puhelin|puhelinnumero|mobilnr|telefonnr|tlf|"
          "telefonnumret|ph|mob|phoneno|phonenumber"},
    Words{kAboutCard,
          "card|cards|credit card|debit card|cc|visa|mastercard|amex|american express|discover|"
          "diners|jcb|maestro|card number|pan|kreditkarte|kreditkartennummer|karte|kartennummer|"
          "carte|carte bancaire|carte bleue|cb|tarjeta|carta|carta di credito|cartao|creditcard|"
          "kaart|kaartnummer|karta|karty|kort|kortnummer|kreditkort|cardnumber|ccnum"},
    Words{kAboutNationalId,
          "national id|identity number|identification number|id number|id card|identity card|"
          "national number|national insurance|social security|personal number|citizen|nin|"
          "personalausweis|ausweis|ausweisnummer|piece identite|documento|documento de identidad|"
          "identidad|identita|identiteit|dowod|social insurance|ssn|personal id|government id"},
    Words{kAboutTaxId,
          "tax id|tax number|tax identification|tax identifier|tax file|taxpayer|tin|tax|steuer|"
          "fiscal|nif|fiscale|steuernummer|tax ref|tax reference|fiscal number|numero fiscal"},
    Words{kAboutUsSsn, "ssn|ssns|social security|social security number|social sec|soc sec"},
    Words{kAboutUkNhs,
          "nhs|nhs number|nhsnumber|national health service|national health|health service"},
    Words{kAboutUkNino, "nino|national insurance|ni number|ni no|nin|ni"},
    Words{kAboutDeTax,
          "steuer id|steuerid|steueridentifikationsnummer|steuer identifikationsnummer|idnr|"
          "identifikationsnummer|steuer idnr|steuernummer|steueridnr|tin|steuerliche|steuer"},
    Words{kAboutFrNir,
          "nir|securite sociale|numero de securite sociale|secu|assure|insee|carte vitale|nss|"
          "numero de secu|immatriculation"},
    Words{kAboutSpain,
          "dni|nif|nie|documento nacional|documento nacional de identidad|identidad|cif|"
          "extranjero|numero de identidad"},
    Words{kAboutItaly, "codice fiscale|fiscale|cf|cod fisc"},
    Words{kAboutPesel, "pesel|numer pesel|peselu"},
    Words{kAboutAadhaar, "aadhaar|aadhar|adhaar|uidai|uid|आधार"},
    Words{kAboutPan, "pan|permanent account|permanent account number|pan card|income tax"},
    Words{kAboutBsn, "bsn|burgerservicenummer|sofinummer|sofi|burger service nummer"},
    Words{kAboutCpf, "cpf|cadastro de pessoas|pessoa fisica|cadastro"},
    Words{kAboutSin, "sin|social insurance|social insurance number|nas|assurance sociale"},
    Words{kAboutTfn, "tfn|tax file|tax file number"},
    Words{kAboutSweden,
          "personnummer|personnr|samordningsnummer|persnr|pnr|personnumret|swedish id"},
    Words{kAboutFinland, "henkilotunnus|hetu|henkilotunnukseni|sotu|personbeteckning"},
    Words{kAboutAhv, "ahv|avs|ahvn13|navs|navs13|ahv nummer|sozialversicherungsnummer"},
    Words{kAboutBelgium,
          "rijksregister|rijksregisternummer|insz|niss|registre national|numero national|"
          "national register|numero de registre national"},
    Words{kAboutChina, "resident identity|shenfenzheng|身份证|身份证号|身份证号码|resident id"},
    Words{kAboutSingapore, "nric|fin|nric fin|singpass"},
    Words{kAboutMexico, "curp"},
    Words{kAboutPassport,
          "passport|passports|reisepass|passnummer|reisepassnummer|passeport|pasaporte|passaporto|"
          "passaporte|paspoort|paspoortnummer|paszport|paszportu|passnumret|passport number"},
    Words{kAboutRecord,
          "mrn|medical record|medical record number|medical records|patient id|patient number|"
          "patient no|patient nr|patient record|hospital number|hospital no|hospital id|"
          "chart number|chart no|health record|unit record|case id|patientid|"
          "patientennummer|patienten nr|patienten id|fallnummer|patientnummer|patientnr|"
          "aktenzeichen patient|krankenakte|ipp|numero de patient|dossier patient|dossier medical|"
          "numero de dossier|historia clinica|nhc|numero de historia|cartella clinica|"
          "numero cartella|prontuario|dossiernummer|patientendossier|karta pacjenta|"
          "numer pacjenta|journalnummer|ehr id|emr id|patient identifier|hosp no|mr number|"
          "admission number|accession"},
    Words{kAboutInsurance,
          "insurance|insurance number|insurance no|insurance id|policy|policy number|policy no|"
          "policyholder|member id|member number|member no|subscriber|subscriber id|group number|"
          "insured|medicare|medicaid|mbi|hicn|health plan|beneficiary|versichertennummer|"
          "versicherungsnummer|versichertennr|kvnr|krankenversichertennummer|krankenversicherung|"
          "krankenkasse|versicherungsschein|police numero|numero de "
          "police|mutuelle|adherent|assurance|"
          "numero d assure|numero adherent|poliza|seguro|numero de poliza|asegurado|tessera|"
          "tessera sanitaria|polizza|assicurazione|numero polizza|apolice|beneficiario|"
          "polisnummer|polis|verzekering|verzekeringsnummer|verzekerdennummer|polisa|"
          "numer polisy|ubezpieczenie|polisy|forsakring|forsakringsnummer|claim id|memberid"},
    Words{kAboutBirth,
          "born|birth|birthday|birthdate|dob|d o b|date of birth|birth date|bday|geboren|geb|"
          "geburtsdatum|geburtstag|geburt|ne|nee|ne e|naissance|date de naissance|ddn|nacido|"
          "nacida|nacimiento|fecha de nacimiento|nacio|nato|nata|nascita|data di nascita|"
          "nascido|nascida|nascimento|data de nascimento|nasc|geboortedatum|geboorte|urodzony|"
          "urodzona|urodzenia|data urodzenia|ur|fodelsedatum|fodd|syntymaaika|syntynyt|fodt|"
          "fodselsdato|dateofbirth"},
    Words{kAboutPassword,
          "password|passwords|passwd|passwort|kennwort|pwd|passphrase|passcode|pass|pw|"
          "mot de passe|mdp|contrasena|clave|senha|haslo|wachtwoord|losenord|salasana|"
          "zugangscode|pin|passwd|dbpassword|userpassword|adgangskode|passord"},
    Words{kAboutApiKey,
          "api key|apikey|secret key|access key|secret|client secret|auth token|access token|"
          "api token|api secret|bearer|refresh token|signing key|encryption key|private key|"
          "app secret|token|authorization|session token|accesstoken|webhook secret"},
    Words{kAboutAws, "aws|aws secret|secret access key|aws secret access key|amazon"},
    Words{kAboutTwilio, "twilio|account sid|auth token"},
    Words{kAboutIp,
          "ip|ips|ipv4|ipv6|address|host|server|client|remote|addr|gateway|dns|subnet|ping|"
          "adresse|login|connection|peer"},
    Words{kAboutIban,
          "iban|bank|account|konto|kontonummer|compte|cuenta|conto|rekening|rekeningnummer"},
    Words{kAboutThings,
          "order|orders|case|driver|invoice|invoices|isbn|issn|ean|upc|gtin|sku|tracking|shipment|"
          "parcel|consignment|serial|version|versions|ver|v|release|build|builds|commit|sha|"
          "sha1|sha256|md5|hash|checksum|digest|uuid|guid|timestamp|epoch|ticket|tickets|"
          "issue|product|article|model|batch|lot|quantity|qty|price|amount|sum|balance|size|"
          "bytes|offset|port|pid|request|trace|transaction|txn|reference|ref|receipt|"
          "booking|reservation|flight|figure|equation|revision|rev|barcode|asin|doi|arxiv|"
          "pmid|imei|license|licence|population|votes|views|bestellung|bestellnummer|"
          "rechnung|rechnungsnummer|auftrag|auftragsnummer|artikel|artikelnummer|sendung|"
          "sendungsnummer|seriennummer|vorgang|vorgangsnummer|ticketnummer|commande|facture|"
          "colis|suivi|pedido|factura|envio|albaran|ordine|fattura|spedizione|bestelling|"
          "factuur|zamowienie|zamowienia|faktura|faktury|paczka|przesylka|fatura|encomenda|"
          "ordrenummer|order number|ordernumber|po|sap|rma|cve|rfc|iso|orcid|firmware|"
          "kernel|zahlernummer|awb|session|job|upgrade|update|upgraded|updated|downgrade|"
          "installed|msg|tx|sequence|seq|usec|matter|case number|case no|case id|image|tag|"
          "docker|item number|part number|line number|referenz|referencenummer|vorgangsnr|"
          "aktenzeichen|belegnummer|expediente|zaak|sprawa|case ref|docket|zip|zipcode|"
          "postcode|plz|isbn10|isbn13|ean13|deployed"},
    Words{
        kFiller,
        "number|numbers|no|nr|num|nos|is|was|are|id|ids|the|a|an|of|my|your|his|her|our|their|"
        "code|ist|est|es|e|il|la|le|el|der|die|das|und|and|or|numero|nummer|numer|n|o|"
        "value|with|for|to|de|du|di|del|meine|mein|mon|ma|mi|su|identifier|reads|as|at|on|in|"
        "key|following|new|it|s|please|jest|nya|voor|van|het|een|um|am|den|dem|im|x|passe|lautet"},
};

constexpr std::uint64_t hash_of(std::string_view text) {
  std::uint64_t h = 0xcbf29ce484222325ULL;
  for (const char c : text) h = (h ^ static_cast<unsigned char>(c)) * 0x100000001b3ULL;
  return h ^ (h >> 29);
}

// Open addressing by the words' hashes. Words with the same 64 bits would be one: a word of a text
// is taken for one of the two thousand here by one chance in 10^16.
class Dictionary {
 public:
  Dictionary() : slots_(kSlots) {
    for (const Words& words : kWords)
      for (std::size_t at = 0; at <= words.list.size();) {
        const std::size_t end = std::min(words.list.find('|', at), words.list.size());
        add(words.list.substr(at, end - at), words.topics);
        at = end + 1;
      }
  }

  Topics topics(std::string_view words) const { return find(words).topics; }
  bool begins(std::string_view word) const { return find(word).begins_phrase; }

 private:
  static constexpr std::size_t kSlots = 8192;
  struct Slot {
    std::uint64_t hash = 0;
    Topics topics = 0;
    bool begins_phrase = false;
  };

  void add(std::string_view words, Topics topics) {
    slot(words).topics |= topics;
    if (const auto space = words.find(' '); space != std::string_view::npos)
      slot(words.substr(0, space)).begins_phrase = true;
  }
  Slot& slot(std::string_view words) {
    const std::uint64_t hash = hash_of(words);
    std::size_t at = hash % kSlots;
    while (slots_[at].hash != 0 && slots_[at].hash != hash) at = (at + 1) % kSlots;
    slots_[at].hash = hash;
    return slots_[at];
  }
  const Slot& find(std::string_view words) const {
    const std::uint64_t hash = hash_of(words);
    std::size_t at = hash % kSlots;
    while (slots_[at].hash != 0 && slots_[at].hash != hash) at = (at + 1) % kSlots;
    return slots_[at];
  }

  std::vector<Slot> slots_;
};

const Dictionary& dictionary() {
  static const Dictionary kDictionary;
  return kDictionary;
}

}  // namespace

Topics topics_of(std::string_view words) {
  return dictionary().topics(words);
}
bool begins_phrase(std::string_view word) {
  return dictionary().begins(word);
}

}  // namespace tack::privacy
