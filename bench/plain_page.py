"""The baseline of the survey page: FastAPI, SQLAlchemy's ORM and Jinja2, as one would write it first.

The same rows are looked up and the same template shows the same survey.
"""

import os
from datetime import UTC, datetime
from typing import Any

import uvicorn
import uvloop
from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, PackageLoader
from sqlalchemy import select
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from services.ingest.page.forms import Form
from services.ingest.page.languages import HTML, NAMES, choose
from services.ingest.page.phrases import PHRASES
from services.ingest.page.views import reading_of, survey_view
from services.ingest.rules.questions import read_survey
from shared.tokens import KeyRing, Token


class Base(DeclarativeBase):
    """What is mapped."""


class Invitation(Base):
    """An invitation as ingest keeps it."""

    __tablename__ = "invitations"
    workspace: Mapped[str] = mapped_column(primary_key=True)
    id: Mapped[str] = mapped_column(primary_key=True)
    document: Mapped[dict[str, Any]] = mapped_column(JSONB)


class Response(Base):
    """An answer."""

    __tablename__ = "responses"
    workspace: Mapped[str] = mapped_column(primary_key=True)
    id: Mapped[str] = mapped_column(primary_key=True)
    invitation: Mapped[str]
    answers: Mapped[list[Any]] = mapped_column(JSONB)


class SurveyVersion(Base):
    """A version of a survey."""

    __tablename__ = "survey_versions"
    workspace: Mapped[str] = mapped_column(primary_key=True)
    survey: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True)
    state: Mapped[str]
    document: Mapped[dict[str, Any]] = mapped_column(JSONB)


def application() -> FastAPI:
    """GET /s/{token} and a health route."""
    url = os.environ["AFTERWORD_DATABASE_URL"].replace("postgresql://", "postgresql+asyncpg://")
    settings = {"search_path": "ingest"}
    engine = create_async_engine(url, pool_size=8, connect_args={"server_settings": settings})
    sessions = async_sessionmaker(engine)
    keys = KeyRing.parse(os.environ["AFTERWORD_TOKEN_KEYS"])
    templates = Environment(
        loader=PackageLoader("services.ingest"), autoescape=True, trim_blocks=True
    )
    app = FastAPI()

    @app.get("/health/ready")
    async def ready() -> dict[str, str]:
        return {"status": "ready"}

    @app.get("/s/{text}")
    async def show(text: str, request: Request) -> HTMLResponse:
        token = keys.verify(text)
        async with sessions() as session:
            newest = await open_version(session, token)
        if newest is None or token.expires_at <= datetime.now(UTC):
            return HTMLResponse("closed", 410)
        page = templates.get_template("survey.html").render(values(request, newest))
        return HTMLResponse(page)

    return app


async def open_version(session: AsyncSession, token: Token) -> SurveyVersion | None:
    """The survey's newest published version; None when there is nothing to answer."""
    mine = (Response.workspace == token.workspace, Response.invitation == token.invitation)
    if (await session.scalars(select(Response).where(*mine))).first() is not None:
        return None
    if await session.get(Invitation, (token.workspace, token.invitation)) is None:
        return None
    of = (SurveyVersion.workspace == token.workspace, SurveyVersion.survey == token.survey)
    published = select(SurveyVersion).where(*of, SurveyVersion.state == "published")
    newest = published.order_by(SurveyVersion.version.desc()).limit(1)
    return (await session.scalars(newest)).first()


def values(request: Request, newest: SurveyVersion) -> dict[str, Any]:
    """What the template shows."""
    survey = read_survey(newest.survey, newest.version, newest.document)
    wanted, accepted = request.query_params.get("lang"), request.headers.get("accept-language")
    language = choose(wanted, accepted, survey.languages)
    form = Form({})
    switch = [
        {
            "name": NAMES[other],
            "html": HTML[other],
            "current": other == language,
            "href": f"?lang={other}",
        }
        for other in survey.languages
    ]
    return {
        **survey_view(survey, form, reading_of(survey, form), frozenset(), language),
        "say": PHRASES[language],
        "language": language,
        "html_language": HTML[language],
        "action": request.url.path,
        "stop_href": f"{request.url.path}/stop?lang={language}",
        "switch": switch,
    }


async def main() -> None:
    """Serve until SIGTERM."""
    config = uvicorn.Config(
        application(),
        port=int(os.environ["AFTERWORD_PORT"]),
        http="httptools",
        lifespan="off",
        access_log=False,
        log_level="warning",
    )
    await uvicorn.Server(config).serve()


if __name__ == "__main__":
    uvloop.run(main())
