// Sends one message with nodemailer, as a JSON object on standard input says. Exit status 1: it was not
// taken, and why is on standard error.
"use strict";

const fs = require("fs");
const nodemailer = require("nodemailer");

const wish = JSON.parse(fs.readFileSync(0, "utf8"));

const transport = nodemailer.createTransport({
	host: wish.host,
	port: wish.port,
	name: "nodemailer.test",
	secure: wish.secure,
	requireTLS: wish.requireTLS,
	ignoreTLS: !wish.secure && !wish.requireTLS,
	localAddress: wish.localAddress || undefined,
	tls: wish.ca ? { ca: fs.readFileSync(wish.ca) } : undefined,
	auth: wish.user ? { user: wish.user, pass: wish.pass } : undefined,
	authMethod: wish.method || undefined,
});

const mail = {
	envelope: { from: wish.from, to: wish.to },
	raw: Buffer.from(wish.raw, "latin1"),
};

transport.sendMail(mail).then(
	(info) => {
		console.log(info.response);
		process.exit(info.rejected.length === 0 ? 0 : 1);
	},
	(error) => {
		console.error(`${error.code}: ${error.message}`);
		process.exit(1);
	},
);
