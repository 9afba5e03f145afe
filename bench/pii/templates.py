"""Texts with slots: {LABEL} or {LABEL:kind} becomes a labelled value, {lower} something that is none.
One text a paragraph; lines inside of it stay. The names and places are our own lists."""

GIVEN = """Anna Bernhard Carla Dario Elif Farid Greta Hanno Ines Jonas Katja Leon Mirela Nuno Oksana Pavel Quirin
Rosa Selma Tarek Ulla Viktor Wanda Xenia Yusuf Zoe Amara Boris Chloé Dmitri Esra Fiona Gustavo Helena Ivo Jolanta
Kenji Lucía Matteo Nadia Óscar Priya Ravi Sofia Tomasz Uwe Valentina Willem Yara Zdenek Abigail Benjamin Charlotte
Daniel Eleanor Frederick Grace Henry Isla Jack Margaret Oliver Penelope Robert Samuel Theodora""".split()
FAMILY = """Abendroth Brandvik Castellani Dąbrowski Echeverría Falkenberg Grünwald Hakimi Ivanova Jankowski Kessler
Lindqvist Moreau Nakamura Oyelaran Petrescu Quintero Rautio Schaller Tanaka Ulrich Vandermeer Wójcik Yilmaz Zielinski
Ashdown Birchall Crowther Dunmore Ellwood Fairbanks Garside Holloway Ingham Kendrick Lockwood Marchbanks Northcott
Ogilvie Pemberton Radcliffe Stanhope Thornbury Underhill Wexford Yardley Bianchi Carvalho Delacroix Esposito Ferreira
Gutiérrez Haugen Iyer Joshi Krishnan""".split()
STREETS = """Lindenallee|Rue des Carmes|Via Garibaldi|Calle de Atocha|Prinsengracht|Maple Avenue|Kirkgate|Station Road
Hauptstraße|Avenue Foch|Corso Vittoria|Paseo del Prado|Keizerslaan|Oak Street|Church Lane|Bahnhofstraße|Elm Drive
Mill Road|Quai Voltaire|Piazza Dante|Gran Vía|Damrak|Sunset Boulevard|Victoria Terrace""".replace("\n", "|").split("|")
CITIES = """Lübeck Grenoble Bologna Zaragoza Utrecht Portland Leeds Gdańsk Porto Uppsala Basel Ghent Turku Pune
Winnipeg Hobart Freiburg Nantes Trieste Málaga Groningen Savannah Durham Poznań Braga Malmö Lausanne Bruges Tampere
Nagpur Halifax Geelong""".split()
ORGANISATIONS = """Nordlicht Logistik GmbH|Calder & Wray LLP|Banque du Rhône|Officina Bellini Srl|Puente Seguros
Vanderloo Zorg|Harbour Street Clinic|Meridian Freight Ltd|Klinikum Eichental|Atelier Lumen SA|Torrevieja Foods
Amberfield Insurance|Kowal i Synowie|Ostrava Steel|Redwood Dental Group|Fjellheim Energi|Bluestone Credit Union
Quayside Housing Trust|Hofmann Pharma AG|Delta Viajes""".replace("\n", "|").split("|")

MAIL = """
Dear {PERSON},

thank you for your message. Please send the signed form to {EMAIL_ADDRESS} or call me on {PHONE_NUMBER:uk} before Friday.

Kind regards,
{PERSON}
{ORGANIZATION}

Hi team, the new colleague is {PERSON} ({EMAIL_ADDRESS}, mobile {PHONE_NUMBER:us}). Desk 14, starts on {day}.

From: {PERSON} <{EMAIL_ADDRESS}>
To: {EMAIL_ADDRESS}
Subject: Refund for order {order}

Please refund the amount of {amount} to my card {CREDIT_CARD}. If you need me: {PHONE_NUMBER:us}.

Hello, my bank has changed. The new IBAN is {IBAN_CODE}, account holder {PERSON}. The old one ends next month.

Sehr geehrte Frau {PERSON}, Ihre Rechnung {order} über {amount} ist offen. Bitte überweisen Sie auf {IBAN_CODE}. Rückfragen unter {PHONE_NUMBER:de} oder {EMAIL_ADDRESS}.

Guten Tag, meine neue Anschrift lautet {LOCATION}. Telefonisch erreichen Sie mich unter {PHONE_NUMBER:de}. Viele Grüße, {PERSON}

Bonjour, merci de me rappeler au {PHONE_NUMBER:fr} ou de m'écrire à {EMAIL_ADDRESS}. Cordialement, {PERSON}

Madame, Monsieur, veuillez trouver mon RIB : {IBAN_CODE}. Je reste joignable au {PHONE_NUMBER:fr}. {PERSON}, {LOCATION}

Hola {PERSON}, te paso mi correo nuevo: {EMAIL_ADDRESS}. El móvil sigue siendo {PHONE_NUMBER:es}. Un saludo

Gentile {PERSON}, la contatto dal numero {PHONE_NUMBER:it}. Può rispondere anche a {EMAIL_ADDRESS}.

Beste {PERSON}, mijn nieuwe telefoonnummer is {PHONE_NUMBER:nl} en mijn mail {EMAIL_ADDRESS}. Rekening: {IBAN_CODE}.

Dzień dobry, proszę o kontakt pod numerem telefonu {PHONE_NUMBER:pl} albo {EMAIL_ADDRESS}. Z poważaniem {PERSON}

Could you forward this to {EMAIL_ADDRESS} and copy {EMAIL_ADDRESS}? The meeting moved to {time}, dial in with {PHONE_NUMBER:us}.

P.S. I lost my wallet. Please block {CREDIT_CARD} today and send the replacement to {LOCATION}.

Olá {PERSON}, o pagamento de {amount} caiu. Qualquer dúvida, ligue para {PHONE_NUMBER:br} ou escreva para {EMAIL_ADDRESS}.
"""

TICKET = """
Ticket {order}: customer {PERSON} cannot log in since the update to {version}. Reached them at {PHONE_NUMBER:us}. Account e-mail {EMAIL_ADDRESS}.

Issue: double charge. Card used: {CREDIT_CARD}. Transactions {order} and {order}, both on {day}. Customer wants {amount} back.

User reports that the VPN drops. Client {IP_ADDRESS}, gateway {IP_ADDRESS}, adapter {MAC_ADDRESS}, firmware {version}.

Caller identified by date of birth {DATE_OF_BIRTH:slash} and postcode. Callback requested: {PHONE_NUMBER:uk}.

The customer pasted the password in the chat (password: {PASSWORD}) - please have it reset. Contact {EMAIL_ADDRESS}.

Steps to reproduce: export OPENAI_API_KEY={API_KEY}, run version {version}, open issue {order}. Fails with hash {hash}.

Kunde {PERSON} meldet, dass die Lieferung {tracking} fehlt. Kundennummer steht im Vorgang {order}. Rückruf: {PHONE_NUMBER:de}.

Le client signale un prélèvement inconnu sur le compte {IBAN_CODE}. Facture {order}. Téléphone : {PHONE_NUMBER:fr}.

Cliente verificado con DNI {ES_NIF}. Pide cambiar el correo a {EMAIL_ADDRESS}.

Verified with SSN {US_SSN} and DOB {DATE_OF_BIRTH:us}. Card on file {CREDIT_CARD} expires 04/29.

Printer {MAC_ADDRESS} has no lease; DHCP gave {IP_ADDRESS} to another host. Serial {order}.

Secret leaked in commit {hash}: token {API_KEY}. Rotate it. Reported by {EMAIL_ADDRESS}.

Reset done. Temporary password is {PASSWORD} and expires at {time}. Tell {PERSON} to change it.

Customer moved to {LOCATION}. New phone {PHONE_NUMBER:us}, e-mail stays {EMAIL_ADDRESS}. Reference {order}.

Connection string in the log: {URL_WITH_CREDENTIALS} - remove before sharing. Build {version}, trace {uuid}.

Escalation: {PERSON} from {ORGANIZATION} waits since {day}; tracking {tracking}, invoice {order}, direct line {PHONE_NUMBER:uk}.
"""

MEDICAL = """
Patient: {PERSON}
DOB: {DATE_OF_BIRTH:us}
MRN: {MEDICAL_RECORD_NUMBER}
Chief complaint: chest pain for 3 days. BP 142/91, HR 88, SpO2 97%. Seen on {day}.

{PERSON}, born {DATE_OF_BIRTH:en}, was admitted with pneumonia. NHS number {UK_NHS}. GP surgery informed on {PHONE_NUMBER:uk}.

Discharge summary. NHS No: {UK_NHS}. Hospital number {MEDICAL_RECORD_NUMBER}. Medication: amoxicillin 500 mg, 21 capsules.

Patient ID {MEDICAL_RECORD_NUMBER} was transferred to {ORGANIZATION}. Insurance number {INSURANCE_NUMBER}. Next of kin: {PERSON}, {PHONE_NUMBER:us}.

Patientin {PERSON}, geb. am {DATE_OF_BIRTH:dot}, Versichertennummer {INSURANCE_NUMBER}, stellte sich mit Schwindel vor.

Patient geboren am {DATE_OF_BIRTH:de}, wohnhaft {LOCATION}. Fallnummer {MEDICAL_RECORD_NUMBER}. Labor: Hb 13,2 g/dl, CRP 4.

Patiente née le {DATE_OF_BIRTH:fr}, numéro de sécurité sociale {FR_NIR}. Consultation du {day} pour douleurs lombaires.

Dossier médical de {PERSON}. NIR : {FR_NIR}. Médecin traitant joignable au {PHONE_NUMBER:fr}.

Paciente {PERSON}, fecha de nacimiento {DATE_OF_BIRTH:slash}, historia clínica {MEDICAL_RECORD_NUMBER}. Sin alergias conocidas.

Il paziente {PERSON}, nato il {DATE_OF_BIRTH:it}, codice fiscale {IT_FISCAL_CODE}, riferisce cefalea da due settimane.

Pacjent {PERSON}, PESEL {PL_PESEL}, zgłosił się z bólem kolana. Telefon {PHONE_NUMBER:pl}.

Patiënt {PERSON}, geboortedatum {DATE_OF_BIRTH:dot}, BSN {NL_BSN}. Verwezen naar cardiologie.

Lab report {order}: glucose 5.4 mmol/L, creatinine 78. Requested for {PERSON}, DOB {DATE_OF_BIRTH:iso}, member ID {INSURANCE_NUMBER}.

Referral: please see this 54-year-old. Date of birth {DATE_OF_BIRTH:en}; medical record number {MEDICAL_RECORD_NUMBER}; policy no. {INSURANCE_NUMBER}.

Potilas {PERSON}, henkilötunnus {FI_PERSONAL_IDENTITY_CODE}, tuli vastaanotolle kuumeen vuoksi.

Patienten {PERSON}, personnummer {SE_PERSONNUMMER}, ringer från {LOCATION} angående provsvar.

Telehealth note. Identity confirmed with Aadhaar {IN_AADHAAR}. Mobile {PHONE_NUMBER:in}. Follow-up on {day}.

Die AHV-Nummer {CH_AHV} liegt vor, die Krankenkasse wurde informiert. Arzt: Dr. {PERSON}, {ORGANIZATION}.
"""

LEGAL = """
This agreement is made between {PERSON}, residing at {LOCATION} (SSN {US_SSN}), and {ORGANIZATION}.

The claimant's National Insurance number is {UK_NINO}. Correspondence goes to {LOCATION}. Claim reference {order}.

In der Sache {order} teilen wir mit: Herr {PERSON}, geboren am {DATE_OF_BIRTH:dot}, Steuer-ID {DE_TAX_ID}, hat Widerspruch eingelegt.

Steuerliche Identifikationsnummer: {DE_TAX_ID}
Bankverbindung: {IBAN_CODE}
Steuerpflichtiger: {PERSON}

Don {PERSON}, con DNI {ES_NIF} y domicilio en {LOCATION}, comparece y declara lo siguiente.

Doña {PERSON}, provista de NIE {ES_NIE}, nacida el {DATE_OF_BIRTH:es}, arrienda la vivienda.

Il sottoscritto {PERSON}, nato il {DATE_OF_BIRTH:slash}, C.F. {IT_FISCAL_CODE}, dichiara sotto la propria responsabilità.

Je soussigné {PERSON}, né le {DATE_OF_BIRTH:fr}, demeurant {LOCATION}, titulaire du passeport {PASSPORT_NUMBER}, atteste sur l'honneur.

The tenant {PERSON} holds passport number {PASSPORT_NUMBER} and pays {amount} by standing order from {IBAN_CODE}.

Contribuinte {PERSON}, CPF {BR_CPF}, requer a restituição de {amount}. Telefone: {PHONE_NUMBER:br}.

Deponent: {PERSON}. Tax file number {AU_TFN}. Matter no. {order}. Served at {LOCATION} on {day}.

Employee's Social Insurance Number: {CA_SIN}. Employer: {ORGANIZATION}. T4 slip for the year enclosed.

Rijksregisternummer {BE_NATIONAL_NUMBER} van de heer {PERSON}, wonende te {LOCATION}, wordt vermeld in de akte.

Umowa najmu zawarta z {PERSON}, numer PESEL {PL_PESEL}, zamieszkałym: {LOCATION}. Czynsz {amount}.

PAN of the assessee: {IN_PAN}. Assessment of {PERSON} for the past year. Aadhaar number {IN_AADHAAR} is linked.

The beneficiary ({PERSON}, NRIC {SG_NRIC_FIN}) receives {amount} upon completion. Case {order}.

合同编号 {order}。乙方身份证号码:{CN_RESIDENT_ID},联系邮箱 {EMAIL_ADDRESS}。

Burgerservicenummer {NL_BSN} en rekeningnummer {IBAN_CODE} zijn gecontroleerd door {ORGANIZATION}.
"""

CHAT = """
user: hey can you check my booking? name is {PERSON}, mail {EMAIL_ADDRESS}
agent: sure, one moment
user: ok, or call me {PHONE_NUMBER:us}

my ssn is {US_SSN} and i was born on {DATE_OF_BIRTH:us}, can i apply??

so the wifi password is {PASSWORD} ok? dont share it. see you at {time}

lol i just pasted my key {API_KEY} into the public channel, what now

card declined again!! {CREDIT_CARD} exp 11/27, tried at {time} and {time}

Kannst du mir das an {EMAIL_ADDRESS} schicken? Handy: {PHONE_NUMBER:de}. Danke!! {PERSON}

mon numéro c'est le {PHONE_NUMBER:fr}, appelle après {time}

mi iban es {IBAN_CODE} a nombre de {PERSON}, gracias

ping {IP_ADDRESS} is up but {IP_ADDRESS} is not, try version {version}

mandami tutto su {EMAIL_ADDRESS}, il cellulare è {PHONE_NUMBER:it}

ik heb nu een nieuwe: {EMAIL_ADDRESS}, en mobiel {PHONE_NUMBER:nl}

Write a polite letter to {ORGANIZATION} from {PERSON}, {LOCATION}, about invoice {order} for {amount}. Mention that my IBAN is {IBAN_CODE}.

Summarise this for me: {PERSON} (passport {PASSPORT_NUMBER}) flies to {LOCATION} on {day} and pays with {CREDIT_CARD}.

is this token still valid? {JSON_WEB_TOKEN}

napisz do {EMAIL_ADDRESS} albo zadzwoń {PHONE_NUMBER:pl}, rachunek {IBAN_CODE}

My NI number is {UK_NINO}, my nhs number is {UK_NHS}, what else do you need?
"""

DATA = """
{"id": {order}, "name": "{PERSON}", "email": "{EMAIL_ADDRESS}", "phone": "{PHONE_NUMBER:us}", "created": "{timestamp}"}

{"customer": {"dob": "{DATE_OF_BIRTH:iso}", "ssn": "{US_SSN}", "card": "{CREDIT_CARD}"}, "order_id": "{order}", "sha": "{hash}"}

{"patientId": "{MEDICAL_RECORD_NUMBER}", "birthDate": "{DATE_OF_BIRTH:iso}", "insuranceNumber": "{INSURANCE_NUMBER}", "version": "{version}"}

{"db_password": "{PASSWORD}", "api_key": "{API_KEY}", "timeout": 30, "build": "{hash}"}

{"iban": "{IBAN_CODE}", "amount": 1200.50, "reference": "{order}", "uuid": "{uuid}"}

user:
  name: {PERSON}
  email: {EMAIL_ADDRESS}
  mobile: {PHONE_NUMBER:uk}
  password: {PASSWORD}

name,email,phone
{PERSON},{EMAIL_ADDRESS},{PHONE_NUMBER:us}
{PERSON},{EMAIL_ADDRESS},{PHONE_NUMBER:us}

<customer><name>{PERSON}</name><iban>{IBAN_CODE}</iban><mail>{EMAIL_ADDRESS}</mail><order>{order}</order></customer>

INSERT INTO users (id, email, nif) VALUES ({order}, '{EMAIL_ADDRESS}', '{ES_NIF}');

first_name={PERSON}&email={EMAIL_ADDRESS}&steuer_id={DE_TAX_ID}&order={order}

{"codice_fiscale": "{IT_FISCAL_CODE}", "telefono": "{PHONE_NUMBER:it}", "ordine": "{order}"}

{"pesel": "{PL_PESEL}", "iban": "{IBAN_CODE}", "zamowienie": "{order}", "ts": {timestamp}}

{"cpf": "{BR_CPF}", "nome": "{PERSON}", "valor": "{amount}"}

| customer | card | exp |
| {PERSON} | {CREDIT_CARD} | 09/28 |

{"passport_number": "{PASSPORT_NUMBER}", "nationality": "GBR", "date_of_birth": "{DATE_OF_BIRTH:iso}", "flight": "BA{number}"}

{"aadhaar": "{IN_AADHAAR}", "pan": "{IN_PAN}", "mobile": "{PHONE_NUMBER:in}"}
"""

LOG = """
{timestamp} INFO login ok user={EMAIL_ADDRESS} ip={IP_ADDRESS} session={uuid}

{timestamp} WARN dhcp lease {IP_ADDRESS} -> {MAC_ADDRESS} host=pc-{number}

{IP_ADDRESS} - - [{timestamp}] "GET /orders/{order} HTTP/1.1" 200 {number} "-" "curl/{version}"

ERROR: connect failed: {URL_WITH_CREDENTIALS} after {number} ms (build {hash})

export AWS_ACCESS_KEY_ID={API_KEY:aws}
export AWS_SECRET_ACCESS_KEY={AWS_SECRET_KEY}

curl -H "Authorization: Bearer {JSON_WEB_TOKEN}" https://api.example.org/v1/orders/{order}

{timestamp} DEBUG payment card={CREDIT_CARD} order={order} amount={number}

{PRIVATE_KEY}
# deployed {timestamp} with {version}

DATABASE_URL={URL_WITH_CREDENTIALS}
SECRET={API_KEY}
RELEASE={version}

{timestamp} sshd[{number}]: Failed password for root from {IP_ADDRESS} port {number} ssh2

git clone {URL_WITH_CREDENTIALS}/team/repo.git && git checkout {hash}

{timestamp} smtp: queued as {hash} to=<{EMAIL_ADDRESS}> relay={IP_ADDRESS} delay={number}

mysql -u root --password={PASSWORD} -h {IP_ADDRESS} shop

npm ERR! token {API_KEY} is not allowed, see log {timestamp}

router arp: {IP_ADDRESS} {MAC_ADDRESS} REACHABLE, {IP_ADDRESS} {MAC_ADDRESS} STALE
"""

FORM = """
Full name: {PERSON}
Date of birth: {DATE_OF_BIRTH:slash}
Address: {LOCATION}
Phone: {PHONE_NUMBER:uk}
E-mail: {EMAIL_ADDRESS}
National Insurance No.: {UK_NINO}
Sort of payment: {IBAN_CODE}

Name: {PERSON}
Geburtsdatum: {DATE_OF_BIRTH:dot}
Telefon: {PHONE_NUMBER:de}
Steuer-Identifikationsnummer: {DE_TAX_ID}
IBAN: {IBAN_CODE}

Nom : {PERSON}
Date de naissance : {DATE_OF_BIRTH:slash}
N° de sécurité sociale : {FR_NIR}
Tél. : {PHONE_NUMBER:fr}

Nombre: {PERSON}
NIF: {ES_NIF}
Fecha de nacimiento: {DATE_OF_BIRTH:slash}
Teléfono: {PHONE_NUMBER:es}

Application for {ORGANIZATION}. Applicant {PERSON}, SIN {CA_SIN}, phone {PHONE_NUMBER:us}, e-mail {EMAIL_ADDRESS}.

Payroll change. Employee: {PERSON}. TFN: {AU_TFN}. Bank account for salary: {IBAN_CODE}. Valid from {day}.

Onboarding: {PERSON}, passport no. {PASSPORT_NUMBER}, social security number {US_SSN}, emergency contact {PHONE_NUMBER:us}.

Hotel registration: guest {PERSON}, {LOCATION}, paid with {CREDIT_CARD}, booking {order}.

Anagrafica: {PERSON}, data di nascita {DATE_OF_BIRTH:slash}, codice fiscale {IT_FISCAL_CODE}, tel. {PHONE_NUMBER:it}.

Formulier: naam {PERSON}, BSN: {NL_BSN}, geboren {DATE_OF_BIRTH:dot}, telefoon {PHONE_NUMBER:nl}.

Insurance claim. Policy number: {INSURANCE_NUMBER}. Insured: {PERSON}. Damage on {day}, estimate {amount}.

Personnummer: {SE_PERSONNUMMER}
Namn: {PERSON}
E-post: {EMAIL_ADDRESS}

Henkilötunnus: {FI_PERSONAL_IDENTITY_CODE}
Nimi: {PERSON}
Sähköposti: {EMAIL_ADDRESS}

NISS : {BE_NATIONAL_NUMBER}
Nom : {PERSON}
Compte : {IBAN_CODE}

AHV-Nr.: {CH_AHV}
Name: {PERSON}
Kontonummer: {IBAN_CODE}

FIN: {SG_NRIC_FIN}
Name: {PERSON}
Employer: {ORGANIZATION}

NIE: {ES_NIE}
Nombre y apellidos: {PERSON}
Domicilio: {LOCATION}

居民身份证: {CN_RESIDENT_ID}
电子邮件: {EMAIL_ADDRESS}
"""

NOTHING = """
Your order {order} has shipped. Track it with {tracking}. Total: {amount}.

Order no. {order} was placed at {timestamp} and contains 3 items.

Invoice number {order}, due on {day}, amount {amount}. Please quote reference {order}.

The book (ISBN {isbn}) is out of print; the new edition is ISBN {isbn10}.

ISBN-13: {isbn}, 412 pages, list price {amount}.

{timestamp} INFO request {uuid} done in {number} ms, build {version}

commit {hash} (tag: {version}) fixes issue {number}

sha256: {hash}  release-{version}.tar.gz  {number} bytes

event_time={timestamp} trace_id={hash} span={hash} seq={number}

{"order_id": "{order}", "created_at": {timestamp}, "sku": "{order}", "ean": "{ean}", "version": "{version}"}

{"uuid": "{uuid}", "checksum": "{hash}", "timestamp": "{timestamp}", "size": {number}}

Upgrade from {version} to {version} before {day}. Ticket {order} has the details.

Parcel {tracking} was handed over at {timestamp}. Shipment {order}.

order_id,sku,qty,created
{order},{ean},2,{timestamp}
{order},{ean},1,{timestamp}

Serial number {order}, model {version}, batch {order}, produced {day}.

Bestellung {order} vom {day}: Sendungsnummer {tracking}, Rechnung {order}, Betrag {amount}.

Commande {order}, facture {order}, colis {tracking}. Montant : {amount}.

Pedido {order} enviado el {day}. Factura {order}, importe {amount}.

Barcode {ean} scanned at {timestamp} on register {number}; receipt {order}.

Transaction {order} failed at block {number}, tx hash {hash}, retry with id {uuid}.

The census counted 1,284,901 people in {number} towns; the river is 1,233 km long and its basin 801,463 square km.

Reservation {order}: flight {number}, seat 14C, boarding at {time}. Booking reference {order}.

Driver {version}, firmware {version}, kernel {version}: device id {hash} booted at {timestamp}.

The DOI is 10.{number}/s{order}; see also arXiv {number}.{number} and PMID {number}.

Quarter results: revenue {amount}, cost {amount}, ticket volume {number}, case {order}.

md5 {hash} / sha1 {hash} / uuid {uuid} / epoch {timestamp}

Item {ean}, article no. {order}, quantity {number}, unit price {amount}.

Job {order} on node {number} finished at {timestamp}; log id {hash}; image {version}.

[{timestamp}] PUT /cart/{order} 204 {number} "{uuid}"

Please return the article with RMA {order} before {day}. The tracking code is {tracking}.
"""

DOMAINS = {"mail": MAIL, "ticket": TICKET, "medical": MEDICAL, "legal": LEGAL, "chat": CHAT, "data": DATA, "log": LOG,
           "form": FORM}


def split(text):
    """Paragraphs apart by an empty line; a mail's own empty lines are kept by its greeting."""
    parts = text.strip("\n").split("\n\n")
    out = []
    for part in parts:
        if out and (out[-1].endswith(",") and out[-1].startswith("Dear") or part.startswith("Kind regards") or
                    out[-1].startswith("From:") and "\nSubject" in out[-1] and part.startswith("Please refund")):
            out[-1] += "\n\n" + part
        else:
            out.append(part)
    return out
