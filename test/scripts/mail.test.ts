import { expect } from "chai";
import { isHeldOut, readMail, split, textOf, type Mail } from "../../scripts/mail.js";

const mail = (id: string, text: string, label: 0 | 1 = 0): Mail => ({ id, text, label });

describe("the quickstart's mail", () => {
  it("takes subject and body, and no header that tells the label", async () => {
    const message = [
      "From a@example.com  Thu Aug 22 14:44:07 2002",
      "X-Spam-Status: Yes, hits=9",
      "Subject: *****SPAM***** =?iso-8859-1?q?caf=E9?=",
      "List-Id: <list>",
      "",
      "Hello\n  there",
      "SPAM: -------------------- Start SpamAssassin results",
      "SPAM: hits",
      "bye " + "x".repeat(80),
    ].join("\n");
    expect(await textOf(message)).to.equal("café Hello there bye");
  });

  it("decodes quoted-printable, base64 and the parts of a message", async () => {
    const quoted = "Subject: a\nContent-Transfer-Encoding: quoted-printable\n\nlong=\nline =3D =41";
    expect(await textOf(quoted)).to.equal("a longline = A");
    const body = Buffer.from("hidden text").toString("base64");
    expect(await textOf(`Subject: b\nContent-Transfer-Encoding: base64\n\n${body}\n`)).to.equal("b hidden text");
    const parts =
      'Subject: c\nContent-Type: multipart/alternative; boundary="x"\n\n--x\n\nplain\n--x\nContent-Type: text/html\n\n<b>rich</b>\n--x--\n';
    expect(await textOf(parts)).to.equal("c plain");
  });

  it("strips markup, declared or not", async () => {
    const html = "<html><style>p{}</style><p>One&nbsp;&amp; <b>two</b><!-- no -->&#33;</p></html>";
    expect(await textOf(`Subject: d\nContent-Type: text/html\n\n${html}`)).to.equal("d One & two !");
    expect(await textOf(`Subject: d\n\n${html}`)).to.equal("d One & two !");
  });

  it("holds out by the character codes of the id", () => {
    expect(isHeldOut("d")).to.equal(true);
    expect(isHeldOut("e")).to.equal(false);
    expect(isHeldOut("de")).to.equal(false);
    expect(isHeldOut("dd")).to.equal(true);
  });

  it("keeps one of messages that begin alike, the held-out one first", () => {
    const { train, heldOut } = split([
      mail("e", "Same text 1"),
      mail("d", "same TEXT 2"),
      mail("f", "other"),
      mail("g", "other!"),
    ]);
    expect(heldOut.map(({ id }) => id)).to.deep.equal(["d"]);
    expect(train.map(({ id }) => id)).to.deep.equal(["f"]);
  });

  it("reads a sample spread over ham and spam, without overlap", async () => {
    const { train, heldOut } = await readMail(120);
    const all = [...train, ...heldOut];
    expect(all.length).to.be.within(100, 121);
    expect(all.filter(({ label }) => label === 1).length).to.be.within(20, 50);
    expect(heldOut.length).to.be.within(10, 45);
    expect(train.some(({ id }) => isHeldOut(id))).to.equal(false);
    for (const { id, label } of all) expect(id.startsWith("spam")).to.equal(label === 1);
  });
});
